"""Clients that are their own teachers: each loss on a case worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.clients import Situation, Step
from fedkd.clients.ps_kd import PSKD
from fedkd.clients.tf_kd import TfKD
from fedkd.losses import kd
from fedkd.models.base import Outputs
from fedkd.tasks import Classification

LOGITS = torch.tensor([[1.0, -0.5, 2.0], [0.0, 0.3, -1.0]])
TARGETS = torch.tensor([2, 0])


def step(logits: Tensor, teacher: Tensor | None = None, share: float = 0.0) -> Step:
    memory = {"share": torch.tensor(share)}
    return Step(Outputs(logits, logits), TARGETS, teacher, {}, memory, Classification())


def test_tf_kd_learns_from_a_teacher_that_is_always_right() -> None:
    teacher = torch.full((2, 3), math.log(0.05))
    teacher[[0, 1], TARGETS] = math.log(0.9)
    loss = TfKD(alpha=0.25, confidence=0.9, temperature=4.0).train_loss(step(LOGITS))
    expected = 0.75 * F.cross_entropy(LOGITS, TARGETS) + 0.25 * kd(LOGITS, teacher, temperature=4.0)
    torch.testing.assert_close(loss, expected)


def test_tf_kd_at_temperature_one_is_label_smoothing_but_for_a_constant() -> None:
    logits = LOGITS.clone().requires_grad_()
    TfKD(alpha=1.0, confidence=0.8, temperature=1.0).train_loss(step(logits)).backward()
    smooth = LOGITS.clone().requires_grad_()
    F.cross_entropy(smooth, TARGETS, label_smoothing=0.3).backward()  # the true class gets 0.7 + 0.3/3 = 0.8
    assert smooth.grad is not None
    torch.testing.assert_close(logits.grad, smooth.grad)


def test_ps_kd_softens_the_targets_by_what_was_said_before() -> None:
    past = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    loss = PSKD().train_loss(step(LOGITS, past.log(), share=0.4))
    targets = 0.6 * F.one_hot(TARGETS, 3) + 0.4 * past
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, targets))


@pytest.mark.parametrize(("number", "share"), [(1, 0.0), (2, 0.2), (4, 0.4), (8, 0.8), (20, 0.8)])
def test_ps_kds_share_grows_with_the_rounds_to_its_end(number: int, share: float) -> None:
    remembered = PSKD(alpha=0.8, growth=8).remember(Situation(False, None, {}, round=number))
    assert float(remembered["share"]) == pytest.approx(share)


def test_ps_kd_is_taught_by_the_weights_that_the_round_starts_from() -> None:
    start = {"w": torch.ones(2)}
    assert PSKD().teacher(Situation(False, None, start))["w"] is start["w"]
