import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from fedkd.engine.stacked import predict_stacked, stack
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Signature, count_parameters, predict, run_network, run_with
from fedkd.models.conv1d import Conv1d

SIGNATURE = Signature({"series": (3, 9), "length": ()}, 5, {"length": 10})


def built(signature: Signature = SIGNATURE, seed: int = 0) -> nn.Module:
    with Streams(seed).initialising("test"):
        return Conv1d(channels=(4, 6)).build(signature)


def series(n: int = 6) -> dict[str, Tensor]:
    lengths = torch.arange(n) % 9 + 1
    x = torch.randn(n, 3, 9, generator=torch.Generator().manual_seed(0))
    return {"series": x * (torch.arange(9) < lengths[:, None])[:, None], "length": lengths}


def test_what_a_series_is_padded_with_and_how_far_changes_nothing() -> None:
    known = series()
    said = run_network(built(), known).logits
    longer = torch.nn.functional.pad(known["series"], (0, 4))
    again = run_network(built(), {"series": longer, "length": known["length"]}).logits
    assert torch.allclose(said, again, atol=1e-6)
    assert not torch.allclose(said, run_network(built(), {**known, "length": torch.full((6,), 9)}).logits)


def test_a_series_of_its_whole_length_is_the_same_with_and_without_being_told() -> None:
    x = series()["series"]
    told = run_network(built(), {"series": x, "length": torch.full((6,), 9)}).logits
    assert torch.equal(told, run_network(built(Signature({"series": (3, 9)}, 5)), {"series": x}).logits)


def test_many_networks_at_once_say_what_each_says_alone() -> None:
    networks = [built(seed=seed) for seed in range(3)]
    weights = stack([one.state_dict() for one in networks])
    together = predict_stacked(networks[0], weights, series(), together=True)
    alone = torch.stack([predict(one, series()) for one in networks])
    assert torch.allclose(together, alone, atol=1e-6)
    inputs = series()
    direct = vmap(lambda state: run_with(networks[0], state, inputs).logits)(weights)  # no way out
    assert torch.allclose(direct, alone, atol=1e-6)


def test_parameters_are_those_that_one_counts_by_hand_and_an_image_is_read_by_columns() -> None:
    assert count_parameters(built()) == (3 * 3 * 4 + 4) + (4 * 3 * 6 + 6) + (6 * 5 + 5)
    columns = Signature({"image": (1, 3, 9)}, 5)
    x = series()["series"]
    told = built(Signature({"series": (3, 9)}, 5))
    assert torch.equal(
        run_network(built(columns), {"image": x[:, None]}).logits, run_network(told, {"series": x}).logits
    )


def test_tables_and_impossible_kernels_are_refused() -> None:
    with pytest.raises(IllegalCombination, match=r"model=conv1d takes series .* model=mlp"):
        Conv1d().network((10,), 2)
    with pytest.raises(InvalidOption, match=r"^model\.kernel"):
        Conv1d(kernel=2)
    with pytest.raises(InvalidOption, match=r"^model\.channels"):
        Conv1d(channels=())
