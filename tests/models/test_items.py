import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models._items import RankingModel, excluded
from fedkd.models.base import Signature, count_parameters, run_network
from fedkd.models.factorisation import Factorisation
from fedkd.models.item_bag import ItemBag

ITEMS, USERS = 12, 4
VIEWS: dict[str, tuple[int, ...]] = {"history": (3,), "user": (), "seen": (2,)}
SYMBOLS = {"history": ITEMS + 1, "user": USERS, "seen": 2**10}
MODELS = [ItemBag(width=5, hidden=(7,)), Factorisation(width=5)]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


def built(model: RankingModel) -> nn.Module:
    with Streams(0).initialising("test"):
        return model.build(Signature(VIEWS, ITEMS, SYMBOLS))


def inputs() -> dict[str, Tensor]:
    """Return two users: one took 3 and 1 of late, and items 0, 9 and 11 before; the other nothing."""
    return {
        "history": torch.tensor([[ITEMS, 3, 1], [ITEMS] * 3]),
        "user": torch.tensor([2, 0]),
        "seen": torch.tensor([[1 | 1 << 9, 1 << 1], [0, 0]]),
    }


@every_model
def test_known_items_come_last_and_give_no_gradient(model: RankingModel) -> None:
    network = built(model)
    logits = run_network(network, inputs()).logits
    known = [0, 1, 3, 9, 11]
    others = [item for item in range(ITEMS) if item not in known]
    assert torch.allclose(logits[0, known], logits[0, others].min() - 10.0)
    assert logits[1].min() > logits[1].max() - 10.0
    bias = network.head.bias
    assert isinstance(bias, Tensor)
    (gradient,) = torch.autograd.grad(logits[0].sum(), bias)
    assert gradient[known].tolist() == [0.0] * 5
    assert gradient[others].tolist() == [1.0] * 7


def test_who_knows_everything_gets_finite_scores() -> None:
    assert excluded(torch.randn(2, 4), torch.ones(2, 4, dtype=torch.bool)).tolist() == [[-10.0] * 4] * 2


def test_a_bag_has_no_order_and_knows_no_user() -> None:
    network, changed = built(MODELS[0]), inputs()
    changed["history"] = changed["history"].flip(1)
    changed["user"] = torch.tensor([3, 3])
    said, other = run_network(network, inputs()), run_network(network, changed)
    assert torch.allclose(said.logits, other.logits, atol=1e-6)


def test_a_bag_is_the_mean_of_its_items_beside_what_layers_make_of_it() -> None:
    network = built(ItemBag(width=5, hidden=()))
    table, body = network.head.weight, network.body[0]
    assert isinstance(table, Tensor)
    mean = (table[3] + table[1]) / 2
    assert torch.allclose(run_network(network, inputs()).features[0], mean + body(mean), atol=1e-6)


def test_a_factorisation_scores_by_product_and_bias() -> None:
    network = built(MODELS[1])
    weights = network.state_dict()
    expected = weights["head.weight"] @ weights["users.weight"][0] + weights["head.bias"]
    assert torch.allclose(run_network(network, inputs()).logits[1], expected, atol=1e-6)
    assert count_parameters(network) == USERS * 5 + ITEMS * 5 + ITEMS


@every_model
def test_other_data_and_a_view_by_name_are_refused(model: RankingModel) -> None:
    with pytest.raises(IllegalCombination, match=r"this data does not say that: .* take data=movielens"):
        model.build(Signature({"image": (1, 8, 8)}, 10))
    with pytest.raises(IllegalCombination, match="ranks items by what a user took before"):
        model.network((10,), 2)
    with pytest.raises(InvalidOption, match=r"model\.view"):
        type(model)(view="history").build(Signature(VIEWS, ITEMS, SYMBOLS))
