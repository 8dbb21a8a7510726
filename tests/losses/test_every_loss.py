"""What holds of every loss: its golden value, its gradient, its reductions, `vmap`, and hostile inputs."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap

from fedkd import losses
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption
from fedkd.losses import (
    activation_boundary,
    at,
    attentive_imitation,
    bounded_regression,
    cc,
    cckd,
    cd,
    cosine,
    cosine_relations,
    crd,
    darkrank,
    de,
    dist,
    dkd,
    factor_transfer,
    fsp,
    gaussian_kl,
    gaussian_nll,
    hint,
    info_nce,
    irg,
    jsd,
    kd,
    lsp,
    mae,
    mimkd,
    mse,
    not_true_kd,
    nst,
    outlier_rejection,
    pkt,
    rd,
    rkd_angle,
    rkd_distance,
    rrd,
    sp,
    supervised_contrastive,
    vid,
)

Loss = Callable[..., Tensor]


def waves(shape: tuple[int, ...], a: float, b: float) -> Tensor:
    """The golden inputs: sin(a n + b) in row-major order."""
    return torch.sin(a * torch.arange(math.prod(shape), dtype=torch.float64) + b).reshape(shape)


ZS, ZT = 3 * waves((4, 5), 1.3, 0.1), 3 * waves((4, 5), 1.7, 0.9)
Y = torch.arange(4)
FS, FT = waves((4, 6), 0.7, 0.1), waves((4, 6), 0.9, 1.2)
GS, GT = waves((4, 3, 4, 4), 0.37, 0.0), waves((4, 3, 4, 4), 0.53, 1.0)
TRUE = waves((4, 6), 1.1, 0.4)


class Case(NamedTuple):
    """A loss of a student's and a teacher's tensor, with golden inputs; `same` where a student that is the teacher costs nothing."""

    loss: Loss
    student: Tensor
    teacher: Tensor
    golden: float | None = None
    same: bool = True


def _vid(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    return vid(student, teacher, student.new_full((student.shape[1],), 5.0), reduction=reduction)  # type: ignore[arg-type]


def _crd(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    memory = [torch.stack((x, x.flip(0)), dim=1)[: len(student)].to(student) for x in (FS, FT)]
    z = student.new_zeros(())
    options = {"samples": 9, "student_log_z": z, "teacher_log_z": z, "temperature": 1.0}
    return crd(student, teacher, *memory, **options, reduction=reduction)  # type: ignore[arg-type]


def _mimkd(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    return mimkd(student @ teacher.detach().mT, reduction=reduction)  # type: ignore[arg-type]


def _irg(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    layers = [(x.flatten(1), (2 * x * x).flatten(1)) for x in (student, teacher)]
    return irg(student.flatten(1), teacher.flatten(1), *layers, reduction=reduction)  # type: ignore[arg-type]


def _fsp(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    pairs = [(x, x[:, :2, ::2, ::2]) for x in (student, teacher)]
    return fsp(*pairs, reduction=reduction)  # type: ignore[arg-type]


def _with_targets(loss: Loss, targets: Tensor, **options: float) -> Loss:
    def called(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
        return loss(student, teacher, targets[: len(student)].to(student), reduction=reduction, **options)

    return called


def _dkd(student: Tensor, teacher: Tensor, *, reduction: str = "mean", **options: float) -> Tensor:
    return dkd(student, teacher, Y[: len(student)], reduction=reduction, **options)  # type: ignore[arg-type]


def _not_true_kd(student: Tensor, teacher: Tensor, *, reduction: str = "mean", **options: float) -> Tensor:
    return not_true_kd(student, teacher, Y[: len(student)], reduction=reduction, **options)  # type: ignore[arg-type]


def _gaussian_nll(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    return gaussian_nll(student, teacher.detach()[:, :3], reduction=reduction)  # type: ignore[arg-type]


def _supervised_contrastive(
    student: Tensor, teacher: Tensor, *, reduction: str = "mean", **options: float
) -> Tensor:
    return supervised_contrastive(student, Y[: len(teacher)] // 2, reduction=reduction, **options)  # type: ignore[arg-type]


def _de(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
    rebuilt = torch.stack((student, 2 * student.flip(1)), dim=1)
    return de(rebuilt, student[:, :2], teacher, temperature=0.5, reduction=reduction)  # type: ignore[arg-type]


def _with(loss: Loss, **options: object) -> Loss:
    def called(student: Tensor, teacher: Tensor, *, reduction: str = "mean") -> Tensor:
        return loss(student, teacher, reduction=reduction, **options)

    return called


CASES = {
    "kd": Case(kd, ZS, ZT, 3.9558076155),
    "dkd": Case(_dkd, ZS, ZT, 28.1265844622),
    "tckd": Case(_with(_dkd, beta=0.0), ZS, ZT, 1.2809677152),
    "nckd": Case(_with(_dkd, alpha=0.0, beta=1.0), ZS, ZT, 3.3557020934),
    "dist": Case(dist, ZS, ZT, 1.9369629104, same=False),
    "dist at 4": Case(_with(dist, temperature=4.0), ZS, ZT, 32.0948336509, same=False),
    "jsd at 0": Case(_with(jsd, beta=0.0), ZS, ZT, 2.5895317109),
    "jsd at 0.1": Case(_with(jsd, beta=0.1), ZS, ZT, 0.1613521966),
    "jsd": Case(jsd, ZS, ZT, 0.3584260674),
    "jsd at 1": Case(_with(jsd, beta=1.0), ZS, ZT, 2.2628020551),
    "mae": Case(mae, ZS, ZT),
    "mse": Case(mse, ZS, ZT),
    "not_true_kd": Case(_not_true_kd, ZS, ZT),
    "hint": Case(hint, GS, GT),
    "at": Case(at, GS, GT, 0.0178671874),
    "at in the paper": Case(_with(at, form="norm"), GS, GT),
    "nst": Case(nst, GS, GT, 0.7772074444),
    "fsp": Case(_fsp, GS, GT),
    "factor_transfer": Case(factor_transfer, GS, GT, 0.1185458682),
    "factor_transfer in the paper": Case(_with(factor_transfer, form="factors"), GS, GT),
    "activation_boundary": Case(activation_boundary, GS, GT, 0.2091607511, same=False),
    "sp": Case(sp, GS, GT, 0.3234772543),
    "cc": Case(cc, FS, FT, 4.5960243463),
    "cckd": Case(cckd, FS, FT, 0.1304459184),
    "rkd_distance": Case(rkd_distance, FS, FT, 0.1877018853),
    "rkd_angle": Case(rkd_angle, FS, FT, 0.1572474308),
    "darkrank": Case(darkrank, FS, FT, same=False),
    "darkrank, soft": Case(_with(darkrank, form="soft", length=3), FS, FT),
    "irg": Case(_irg, FS, FT),
    "lsp": Case(lsp, FS, FT),
    "vid": Case(_vid, GS, GT, 0.9063831881, same=False),
    "crd": Case(_crd, FS, FT, same=False),
    "mimkd": Case(_mimkd, FS, FT, same=False),
    "info_nce": Case(info_nce, FS, FT, 14.2323392407, same=False),
    "pkt": Case(pkt, FS, FT, 0.0844378312),
    "rd": Case(_with(rd, top=3), ZS, ZT, same=False),
    "rrd": Case(rrd, ZS[:, :3], ZT[:, :3], 20.9094109406 / 4, same=False),
    "cd": Case(_with(cd, temperature=2.0, bias=0.5), ZS, ZT, same=False),
    "de": Case(_de, FS, FT, same=False),
    "bounded_regression": Case(_with_targets(bounded_regression, TRUE), FS, FT, same=False),
    "supervised_contrastive": Case(_supervised_contrastive, FS, FT, same=False),
    "cosine": Case(cosine, FS, FT),
    "cosine_relations": Case(cosine_relations, FS, FT),
    "attentive_imitation": Case(_with_targets(attentive_imitation, TRUE), FS, FT, same=False),
    "outlier_rejection": Case(_with_targets(outlier_rejection, TRUE), FS, FT, same=False),
    "gaussian_nll": Case(_gaussian_nll, FS, FT, same=False),
    "gaussian_kl": Case(gaussian_kl, FS, FT),
}
every_loss = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def test_every_loss_of_the_package_has_a_case_here() -> None:
    functions = {name for name in losses.__all__ if name[0].islower()} - {"rrd_items", "cd_items", "gaussian"}
    assert functions == {name.split()[0].rstrip(",") for name in CASES} - {"tckd", "nckd"}


@every_loss
def test_golden_values(case: Case) -> None:
    value = float(case.loss(case.student, case.teacher))
    assert math.isfinite(value)
    if case.golden is not None:
        assert value == pytest.approx(case.golden, abs=1e-8, rel=0)


@every_loss
def test_the_gradient_is_the_derivative_of_the_value(case: Case) -> None:
    student = case.student.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: case.loss(x, case.teacher), student)


@every_loss
def test_a_teacher_receives_no_gradient_and_a_student_does(
    case: Case, request: pytest.FixtureRequest
) -> None:
    student, teacher = (x.clone().requires_grad_() for x in (case.student, case.teacher))
    case.loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    # The second argument of these is not what a frozen teacher says: an embedding that is learned, the student's own scores.
    learned_too = request.node.callspec.id in {"crd", "info_nce", "rrd"}
    assert (teacher.grad is not None) == learned_too


@every_loss
def test_a_student_that_is_the_teacher_costs_nothing(case: Case) -> None:
    assert abs(float(case.loss(case.teacher, case.teacher))) < 1e-12 or not case.same


@every_loss
def test_none_gives_the_values_whose_mean_and_sum_the_others_are(case: Case) -> None:
    each = case.loss(case.student, case.teacher, reduction="none")
    assert each.shape in {(4,), (3,)}
    assert torch.allclose(each.mean(), case.loss(case.student, case.teacher))
    assert torch.allclose(each.sum(), case.loss(case.student, case.teacher, reduction="sum"))


@every_loss
def test_vmap_over_clients_gives_what_a_loop_gives(case: Case) -> None:
    students = torch.stack([case.student * factor for factor in (1.0, -0.5, 2.0)])
    teachers = torch.stack([case.teacher * factor for factor in (1.0, 0.7, -1.0)])
    together = vmap(grad(case.loss))(students, teachers)
    for student, teacher, gradient in zip(students, teachers, together, strict=True):
        assert torch.allclose(grad(case.loss)(student, teacher), gradient, atol=1e-10)


HOSTILE = {
    "extreme": lambda student, teacher: (1e4 * student, -1e4 * teacher),
    "extreme and alike": lambda student, teacher: (1e4 * teacher + 0 * student, 1e4 * teacher),
    "all zero": lambda student, teacher: (0 * student, 0 * teacher),
    "a zero student": lambda student, teacher: (0 * student, teacher),
    "a zero teacher": lambda student, teacher: (student, 0 * teacher),
    "a batch of one": lambda student, teacher: (student[:1], teacher[:1]),
    "one sample many times": lambda student, teacher: (
        student[:1].expand_as(student),
        teacher[:1].expand_as(teacher),
    ),
    "tiny": lambda student, teacher: (1e-30 * student, teacher),
    "large": lambda student, teacher: (1e10 * student, -1e10 * teacher),
    "enormous": lambda student, teacher: (1e30 * student, -1e30 * teacher),
    "no sample": lambda student, teacher: (student[:0], teacher[:0]),
}
BEYOND_FLOAT32 = {
    "large": {"fsp"},
    "enormous": {
        "mse", "hint", "fsp", "activation_boundary", "cc", "irg", "vid", "mimkd", "de", "attentive_imitation", "outlier_rejection",
        "gaussian_nll", "gaussian_kl",
    },
}  # fmt: skip
"""Losses whose true value no float of 32 bits can hold: squares and higher powers of what they see."""


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_loss
def test_hostile_inputs_give_finite_values_and_gradients(case: Case, kind: str, dtype: torch.dtype) -> None:
    student, teacher = HOSTILE[kind](case.student, case.teacher)
    student = student.to(dtype).clone().requires_grad_()
    value = case.loss(student, teacher.to(dtype))
    if dtype == torch.float32 and any(CASES[name] is case for name in BEYOND_FLOAT32.get(kind, ())):
        assert not value.isfinite()
        return
    assert value.isfinite()
    (gradient,) = torch.autograd.grad(value, student, allow_unused=True, materialize_grads=True)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["kd", "dist", "jsd", "jsd at 0", "jsd at 1", "mae", "mse"])
def test_two_classes_are_enough(name: str) -> None:
    loss = CASES[name].loss
    student, teacher = ZS[:, :2].clone().requires_grad_(), ZT[:, :2]
    loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("sure_of", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "name", ["kd", "dkd", "tckd", "nckd", "dist", "jsd at 0", "jsd at 0.1", "jsd", "not_true_kd"]
)
def test_a_hard_teacher_gives_what_a_teacher_gives_that_is_nearly_as_hard(
    name: str, dtype: torch.dtype, sure_of: int
) -> None:
    """It is certain of the true class, or of the one after it; all others have the log-probability -inf."""
    loss, student = CASES[name].loss, ZS.to(dtype).clone().requires_grad_()
    one_hot = torch.eye(5, dtype=dtype)[Y + sure_of]
    value = loss(student, one_hot.log())
    assert torch.allclose(value, loss(student, 1e4 * (one_hot - 1)))
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.isfinite().all()
    if name == "kd":
        expected = F.kl_div((student / 4).log_softmax(dim=1), one_hot, reduction="batchmean")
        assert torch.allclose(value, 16 * expected)


NO_SCALE = (
    "at",
    "at in the paper",
    "factor_transfer",
    "factor_transfer in the paper",
    "sp",
    "rkd_distance",
    "rkd_angle",
)


@pytest.mark.parametrize("name", NO_SCALE)
def test_losses_that_see_no_scale_see_none_at_all(name: str) -> None:
    loss, student, teacher, *_ = CASES[name]
    student, teacher = student.float().requires_grad_(), teacher.float()
    small, large = loss(student, teacher), loss(1e30 * student, 1e30 * teacher)
    assert torch.allclose(large, small)
    for slope in torch.autograd.grad(large, student), torch.autograd.grad(small, student):
        assert slope[0].isfinite().all()


@every_loss
def test_batches_of_other_sizes_are_refused_while_shapes_are_checked(case: Case) -> None:
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


@every_loss
@pytest.mark.usefixtures("unchecked")
def test_what_would_be_repeated_to_fit_is_refused(case: Case) -> None:
    student, teacher = case.student, case.teacher
    pairs = [(student[:1], teacher), (student, teacher[:1])]
    if not any(CASES[name] is case for name in ANY_WIDTH):
        pairs += [(student, teacher[:, :1])]
    for pair in pairs:
        with pytest.raises(FedkdError):
            case.loss(*pair)


@every_loss
@pytest.mark.usefixtures("unchecked")
def test_a_reduction_that_does_not_exist_is_refused(case: Case) -> None:
    with pytest.raises(InvalidOption, match="'nine', allowed is mean or sum or none; did you mean 'none'"):
        case.loss(case.student, case.teacher, reduction="nine")


@pytest.mark.parametrize(
    ("loss", "option"),
    [
        *((loss, "temperature") for loss in (kd, jsd, dist, _dkd, _not_true_kd, _supervised_contrastive)),
        *((loss, "temperature") for loss in (info_nce, cd)),
        (rd, "decay"),
        (lsp, "scale"),
        (cckd, "gamma"),
        (darkrank, "alpha"),
        (darkrank, "beta"),
    ],
)
def test_what_must_be_positive_is_refused_if_it_is_not(loss: Loss, option: str) -> None:
    for number in (0.0, -1.0):
        with pytest.raises(InvalidOption, match=f"{option}: got {number}, allowed is a number > 0"):
            loss(ZS, ZT, **{option: number})


@pytest.mark.parametrize("loss", [dkd, not_true_kd])
@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_that_is_no_class_is_refused(loss: Loss, label: int) -> None:
    targets = torch.tensor([0, 1, 2, label])
    with pytest.raises(IllegalCombination, match=f"classes from 0 to 4; index {label} is out of bounds"):
        loss(ZS, ZT, targets)
    both = torch.stack((ZS, ZS))
    with pytest.raises(IllegalCombination, match="classes from 0 to 4"):
        vmap(grad(loss))(both, both, torch.stack((targets, targets)))
