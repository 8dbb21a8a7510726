"""Every loss with golden inputs: the fixtures `case`, each of them in turn, and `cases`, all by name."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

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
    name: str = ""


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
    "hint, l1": Case(_with(hint, distance="l1"), GS, GT),
    "hint, huber": Case(_with(hint, distance="huber"), GS, GT),
    "hint, cosine": Case(_with(hint, distance="cosine"), GS, GT),
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


@pytest.fixture(params=[pytest.param(case._replace(name=name), id=name) for name, case in CASES.items()])
def case(request: pytest.FixtureRequest) -> Case:
    """Return a loss with its inputs."""
    found: Case = request.param
    return found


@pytest.fixture(scope="session")
def cases() -> Mapping[str, Case]:
    """Return all of them by name."""
    return CASES
