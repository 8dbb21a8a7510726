"""What every loss refuses, in one clear error."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from fedkd import losses
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption
from fedkd.losses import dkd, not_true_kd


def test_batches_of_other_sizes_are_refused_while_shapes_are_checked(case: Any) -> None:
    with pytest.raises(TypeError, match="Type-check"):
        case.loss(case.student[:3], case.teacher[:2])


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Let annotations be, as they are outside of tests."""
    jaxtyping.config.update("jaxtyping_disable", value=True)
    yield
    jaxtyping.config.update("jaxtyping_disable", value=False)


ANY_WIDTH = {
    "at", "at in the paper", "nst", "factor_transfer", "sp", "cckd", "rkd_distance", "rkd_angle", "darkrank", "darkrank, soft", "lsp", "pkt",
    "rrd", "cosine_relations", "mimkd", "supervised_contrastive",
}  # fmt: skip


@pytest.mark.usefixtures("unchecked")
def test_what_would_be_repeated_to_fit_is_refused(case: Any) -> None:
    student, teacher = case.student, case.teacher
    pairs = [(student[:1], teacher), (student, teacher[:1])]
    if case.name not in ANY_WIDTH:
        pairs += [(student, teacher[:, :1])]
    for pair in pairs:
        with pytest.raises(FedkdError):
            case.loss(*pair)


@pytest.mark.usefixtures("unchecked")
def test_a_reduction_that_does_not_exist_is_refused(case: Any) -> None:
    with pytest.raises(InvalidOption, match="'nine', allowed is mean or sum or none; did you mean 'none'"):
        case.loss(case.student, case.teacher, reduction="nine")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(
            (name, "temperature")
            for name in ("kd", "jsd", "dist", "dkd", "not_true_kd", "supervised_contrastive")
        ),
        *((name, "temperature") for name in ("info_nce", "cd")),
        ("rd", "decay"),
        ("lsp", "scale"),
        ("cckd", "gamma"),
        ("darkrank", "alpha"),
        ("darkrank", "beta"),
    ],
)
def test_what_must_be_positive_is_refused_if_it_is_not(
    cases: Mapping[str, Any], name: str, option: str
) -> None:
    # Straight from the package, where a case has options of its own.
    called = (
        cases[name].loss if name in {"dkd", "not_true_kd", "supervised_contrastive"} else vars(losses)[name]
    )
    for number in (0.0, -1.0):
        with pytest.raises(InvalidOption, match=f"{option}: got {number}, allowed is a number > 0"):
            called(cases["kd"].student, cases["kd"].teacher, **{option: number})


@pytest.mark.parametrize("loss", [dkd, not_true_kd])
@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_that_is_no_class_is_refused(
    cases: Mapping[str, Any], loss: Callable[..., Tensor], label: int
) -> None:
    targets = torch.tensor([0, 1, 2, label])
    with pytest.raises(IllegalCombination, match=f"classes from 0 to 4; index {label} is out of bounds"):
        loss(cases["kd"].student, cases["kd"].teacher, targets)
    both = torch.stack((cases["kd"].student, cases["kd"].student))
    with pytest.raises(IllegalCombination, match="classes from 0 to 4"):
        vmap(grad(loss))(both, both, torch.stack((targets, targets)))
