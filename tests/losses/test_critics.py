import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams
from fedkd.losses import MIMKD, mimkd

INDEPENDENT = -2 * math.log(2)
"""The bound where student and teacher say nothing of each other."""


def module(student: tuple[int, ...], teacher: tuple[int, ...], **options: float) -> MIMKD:
    with Streams(0).initialising("test"):
        return MIMKD(student, teacher, **options)  # type: ignore[arg-type]


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair(correlation: float, seed: int, batch: int = 128) -> tuple[Tensor, Tensor]:
    student, noise = features(2, batch, 1, seed=seed)
    return student, correlation * student + math.sqrt(1 - correlation**2) * noise


def true_bound(correlation: float) -> float:
    """`2 JS - 2 log 2` of a Gaussian pair and the product of its marginals, as a sum over a fine grid."""
    x, y = np.meshgrid(*[np.linspace(-8, 8, 801)] * 2)
    rest = 1 - correlation**2
    product = np.exp(-(x**2 + y**2) / 2)
    joint = np.exp(-(x**2 - 2 * correlation * x * y + y**2) / (2 * rest)) / math.sqrt(rest)
    nats = rel_entr(joint, joint + product) + rel_entr(product, joint + product)
    return float(nats.sum()) * (16 / 800) ** 2 / (2 * math.pi)


def trained(correlation: float, *, steps: int = 300) -> tuple[float, float]:
    """The bound of a critic on pairs that it was not trained with, before and after its training."""
    loss = module((1,), (1,), width=16)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.01)
    held = pair(correlation, seed=10**6, batch=2000)
    with torch.no_grad():
        before = -loss(*held).item()
    for step in range(steps):
        optimizer.zero_grad()
        loss(*pair(correlation, seed=step)).backward()
        optimizer.step()
    with torch.no_grad():
        return before, -loss(*held).item()


def test_the_bound_rises_to_the_true_divergence_of_a_gaussian_pair_and_stays_below() -> None:
    true = true_bound(0.9)
    assert INDEPENDENT + 0.4 < true < 0
    before, after = trained(0.9)
    assert before < INDEPENDENT + 0.05
    assert true - 0.05 < after < true + 0.01


def test_the_bound_of_independent_pairs_stays_at_two_log_two() -> None:
    assert true_bound(0.0) == pytest.approx(INDEPENDENT, abs=1e-6)
    _, after = trained(0.0)
    assert INDEPENDENT - 0.05 < after < INDEPENDENT + 0.01


@pytest.mark.parametrize(
    ("student", "teacher", "kinds"),
    [
        ((5,), (7,), ["global"]),
        ((5,), (7, 4, 4), ["global"]),
        ((5, 4, 4), (7,), ["global", "local"]),
        ((5, 4, 6), (7, 8, 2), ["global", "local", "feature"]),
    ],
)
def test_shapes_say_which_pairs_there_are_and_every_critic_learns(
    student: tuple[int, ...], teacher: tuple[int, ...], kinds: list[str]
) -> None:
    loss = module(student, teacher)
    assert list(loss.critics) == kinds
    mine, theirs = features(3, *student).requires_grad_(), features(3, *teacher, seed=1).requires_grad_()
    loss(mine, theirs).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in loss.parameters())
    assert mine.grad is not None
    assert mine.grad.any()
    assert theirs.grad is None


def test_it_is_the_weighted_sum_of_its_pairs() -> None:
    weights = {"global_weight": 0.5, "local_weight": 2.0, "feature_weight": 3.0}
    loss = module((3, 4, 4), (5, 2, 2), **weights)
    student, teacher = features(6, 3, 4, 4), features(6, 5, 2, 2, seed=1)

    def scores(kind: str, i: int, j: int) -> Tensor:
        critic = loss.critics[kind]
        mine, theirs = critic.student(student)[i], critic.teacher(teacher)[j]
        if mine.dim() > theirs.dim():
            theirs = theirs[:, None, None]
        return (mine * theirs).sum(dim=0) / math.sqrt(128)

    sizes = {"global": (), "local": (4, 4), "feature": (2, 2)}
    total = torch.zeros(())
    for kind, size in sizes.items():
        pairs = torch.stack([torch.stack([scores(kind, i, j) for j in range(6)]) for i in range(6)])
        assert pairs.shape == (6, 6, *size)
        total = total + weights[f"{kind}_weight"] * mimkd(pairs)
    assert torch.allclose(loss(student, teacher), total)
    each = loss(student, teacher, reduction="none")
    assert torch.allclose(each.mean(), total)
    assert torch.allclose(each.sum(), loss(student, teacher, reduction="sum"))


def test_pairs_without_a_weight_have_no_critic() -> None:
    loss = module((3, 4, 4), (5,), global_weight=0.0)
    assert list(loss.critics) == ["local"]
    assert all(isinstance(weight, nn.Parameter) for weight in loss.parameters())


@pytest.mark.parametrize(
    ("student", "teacher", "weight", "words"),
    [
        ((5, 3), (5,), 1.0, r"needs vectors .* or feature maps .*\[5, 3\] and \[5\]"),
        ((), (3,), 1.0, "needs vectors"),
        ((5,), (5, 2, 2), 0.0, "nothing to learn.* have global pairs, and their weights are 0"),
    ],
)
def test_layers_without_pairs_are_refused(
    student: tuple[int, ...], teacher: tuple[int, ...], weight: float, words: str
) -> None:
    with pytest.raises(IllegalCombination, match=words):
        module(student, teacher, global_weight=weight)


@pytest.mark.parametrize(
    "change", [lambda x: 0 * x, lambda x: 1e6 * x, lambda x: x[:1].expand_as(x), lambda x: x[:1]]
)
def test_hostile_features_give_finite_values_and_gradients(change: object) -> None:
    loss = module((3, 4, 4), (5, 4, 4))
    student = change(features(4, 3, 4, 4)).clone().requires_grad_()  # type: ignore[operator]
    value = loss(student, change(features(4, 5, 4, 4, seed=1)))  # type: ignore[operator]
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_critics_run_under_vmap() -> None:
    loss = module((3, 4, 4), (5,))
    weights = {name: torch.stack([w, 2 * w]) for name, w in loss.state_dict().items()}
    student, teacher = features(2, 6, 3, 4, 4), features(2, 6, 5, seed=1)

    def value(state: dict[str, Tensor], s: Tensor, t: Tensor) -> Tensor:
        return torch.func.functional_call(loss, state, (s, t))  # type: ignore[no-any-return]

    together = torch.vmap(value)(weights, student, teacher)
    for i in range(2):
        alone = value({name: w[i] for name, w in weights.items()}, student[i], teacher[i])
        assert torch.allclose(together[i], alone, atol=1e-6)


def test_its_gradient_is_that_of_finite_differences() -> None:
    loss = module((3, 2, 2), (5, 2, 2), width=8).double()
    teacher = features(4, 5, 2, 2, seed=1).double()
    student = features(4, 3, 2, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), student)
