import pytest
import torch

from fedkd.foundation.errors import IllegalCombination
from fedkd.models._beside import Beside
from fedkd.models.base import Signature, count_parameters, run_network
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.models.sign import SIGN


def test_each_hop_has_a_map_of_its_own_and_the_head_sees_all() -> None:
    network = SIGN(hidden=4).network((3, 5), 2)
    assert count_parameters(network) == 3 * (5 * 4 + 4) + (12 * 2 + 2)
    x = torch.rand(6, 3, 5)
    weights = network.state_dict()
    maps = [x[:, hop] @ weights[f"hops.{hop}.weight"].T + weights[f"hops.{hop}.bias"] for hop in range(3)]
    said = network(x)
    torch.testing.assert_close(said.features, torch.cat(maps, dim=1).relu())
    torch.testing.assert_close(said.logits, said.features @ weights["head.weight"].T + weights["head.bias"])


def test_rows_of_tables_are_no_neighbourhoods() -> None:
    with pytest.raises(IllegalCombination, match=r"data=cora"):
        SIGN().network((5,), 2)


def test_a_carried_network_may_read_another_view_than_the_clients_own() -> None:
    signature = Signature({"wide": (6,), "narrow": (2,)}, 3)
    both = Beside(own=MLP(hidden=(4,)), carried=Logistic(view="narrow")).build(signature)
    inputs = {"wide": torch.rand(5, 6), "narrow": torch.rand(5, 2)}
    said = run_network(both, inputs)
    torch.testing.assert_close(said.logits, both.own(inputs["wide"]).logits)
    torch.testing.assert_close(said.carried, both.carried(inputs["narrow"]).logits)
