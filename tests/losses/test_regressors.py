import pytest
import torch
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams
from fedkd.losses import VID, Regressor, hint, vid


@pytest.fixture(autouse=True)
def _own_stream() -> object:
    with Streams(0).initialising("test"):
        yield


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((5,), (7,)),
        ((5, 4, 4), (7, 4, 4)),
        ((5, 8, 8), (7, 4, 4)),
        ((5, 4, 4), (7, 8, 6)),
        ((5, 4, 4), (7,)),
        ((5, 4, 4), (5, 4, 4)),
    ],
)
@pytest.mark.parametrize("hidden", [0, 2])
def test_a_regressor_gives_features_the_teachers_shape_and_learns(
    student: tuple[int, ...], teacher: tuple[int, ...], hidden: int
) -> None:
    regressor = Regressor(student, teacher, hidden=hidden)
    said = regressor(torch.randn(3, *student))
    assert said.shape == (3, *teacher)
    hint(said, torch.randn(3, *teacher)).backward()
    assert all(weight.grad is not None for weight in regressor.parameters())


def test_features_that_fit_can_pass_as_they_are() -> None:
    regressor = Regressor((5, 4, 4), (5, 4, 4), always=False)
    x = torch.randn(2, 5, 4, 4)
    assert torch.equal(regressor(x), x)
    assert not list(regressor.parameters())
    assert list(Regressor((5, 4, 4), (6, 4, 4), always=False).parameters())


@pytest.mark.parametrize(("student", "teacher"), [((5,), (5, 4, 4)), ((5, 3), (5, 3)), ((), (3,))])
def test_there_is_no_way_from_vectors_to_maps(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    with pytest.raises(IllegalCombination, match="no regressor leads from"):
        Regressor(student, teacher)


def test_vid_starts_with_the_variance_that_is_named_and_trains_it() -> None:
    module = VID((4,), (6,), variance=5.0)
    assert torch.allclose(module.variance(), torch.full((6,), 5.0))
    student, teacher = torch.randn(64, 4), torch.randn(64, 6)
    assert torch.allclose(module(student, teacher), vid(module.mean(student), teacher, torch.full((6,), 5.0)))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        module(student, teacher).backward()
        optimizer.step()
    # The best variance is the error that is left.
    left = (module.mean(student) - teacher).square().mean(dim=0)
    assert torch.allclose(module.variance(), left, rtol=0.3)


def test_learned_parts_run_under_vmap() -> None:
    module = VID((4, 3, 3), (6, 3, 3))
    weights = {name: torch.stack([w, 2 * w]) for name, w in module.state_dict().items()}
    student, teacher = torch.randn(2, 5, 4, 3, 3), torch.randn(2, 5, 6, 3, 3)

    def loss(state: dict[str, Tensor], s: Tensor, t: Tensor) -> Tensor:
        return torch.func.functional_call(module, state, (s, t))  # type: ignore[no-any-return]

    together = torch.vmap(loss)(weights, student, teacher)
    for i in range(2):
        alone = loss({name: w[i] for name, w in weights.items()}, student[i], teacher[i])
        assert torch.allclose(together[i], alone)


def test_all_that_is_learned_is_a_parameter() -> None:
    assert isinstance(VID((4,), (6,)).spread, nn.Parameter)
