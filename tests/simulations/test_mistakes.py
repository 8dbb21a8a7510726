"""The mistakes are the ones that they are named after, and can be made where a recipe names them."""

import functools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

import fedkd
from fedkd.knowledge import Package
from fedkd.losses import kd
from simulations.mistakes import (
    ElementMean,
    OneSided,
    RawLogits,
    ReversedKL,
    _ZerosForAbsent,
)
from simulations.recipes_of_others import MISTAKES

STUDENT = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.1, -2.0]], dtype=torch.float64)
TEACHER = torch.tensor([[3.0, 0.0, -1.0], [0.5, 2.0, 0.0]], dtype=torch.float64)


def test_raw_logits_as_targets_have_no_lower_bound() -> None:
    student = torch.tensor([[0.0, -1e3, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, -5.0, 0.0]], dtype=torch.float64)
    assert float(RawLogits().apart(student, teacher)) < -4900
    assert float(RawLogits().apart(10 * student, teacher)) < -49000


def test_dividing_by_the_classes_is_what_pytorch_does_by_default() -> None:
    log_student, teacher = F.log_softmax(STUDENT, dim=-1), F.softmax(TEACHER, dim=-1)
    with pytest.warns(UserWarning, match="divides the total loss by both"):
        wrong = torch.nn.KLDivLoss()(log_student, teacher)
    assert torch.allclose(ElementMean().apart(STUDENT, TEACHER).mean(), wrong)


def test_the_reversed_order_is_kl_from_the_other_side_and_reaches_the_student() -> None:
    student = STUDENT.clone().requires_grad_()
    apart = ReversedKL(temperature=2.0).apart(student, TEACHER)
    assert torch.allclose(apart, kd(TEACHER, STUDENT, temperature=2.0, reduction="none"))
    apart.sum().backward()
    assert student.grad is not None
    assert (student.grad != 0).all()


def test_a_one_sided_temperature_is_not_least_where_student_and_teacher_agree() -> None:
    assert torch.allclose(kd(TEACHER, TEACHER, temperature=3.0), torch.zeros((), dtype=torch.float64))
    assert (OneSided(temperature=3.0).apart(TEACHER, TEACHER) > 1).all()
    assert torch.allclose(OneSided(temperature=3.0).apart(3 * TEACHER, TEACHER), torch.zeros(2).double())


def test_a_client_without_a_label_counts_as_zeros() -> None:
    server = _ZerosForAbsent(num_classes=2)
    values, counts = torch.full((3, 2, 2), 6.0), torch.tensor([[1, 1], [4, 0], [2, 3]])
    said = (
        Package("class_means", {"values": own}, counts=count)
        for own, count in zip(values, counts, strict=True)
    )
    server._said = dict(enumerate(said))
    told = server._for(0, values, counts)
    assert told.values.tolist() == [[6.0, 6.0], [3.0, 3.0]]
    assert told.counts is not None
    assert told.counts.tolist() == [1, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """Run a method on few digits, the same once, and return the loss of what it delivers."""

    @functools.cache
    def loss_of(method: str, *own: str) -> float:
        common = [f"method={method.lower().replace('-', '')}", "rounds=2", "clients=3", "runtime=inline"]
        common += [
            "threads=1",
            "partition.alpha=0.1",
            "data.samples=150",
            "proxy.size=30",
            "evaluate_every=2",
        ]
        done = fedkd.run(*common, *own, f"output={tmp_path_factory.mktemp('run') / 'run'}")
        return float(done.final[f"{'student' if method in {'DS-FL', 'FedDF'} else 'clients_mean'}/test/loss"])

    return loss_of


@pytest.mark.parametrize(
    ("mistake", "method"), [(mistake, method) for mistake, own in MISTAKES.items() for method in own]
)
def test_each_mistake_can_be_made_in_a_run_and_changes_it(
    mistake: str, method: str, run: Callable[..., float]
) -> None:
    assert run(method, *MISTAKES[mistake][method]) != run(method)
