import math
import subprocess
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from sklearn import metrics

from fedkd.losses import kd
from fedkd.tasks import Classification, base
from fedkd.tasks.classification import calibration_error

TASK = Classification()


def answers(n: int = 200, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    outputs = 2 * torch.randn(n, classes, generator=generator)
    return outputs, torch.randint(classes - 1, (n,), generator=generator)  # the last class never occurs


def test_metrics_agree_with_scikit_learn() -> None:
    outputs, targets = answers()
    said, probabilities = outputs.argmax(-1).numpy(), F.softmax(outputs.double(), dim=-1).numpy()
    measured = TASK.metrics(outputs, targets)
    assert measured["accuracy"] == pytest.approx(metrics.accuracy_score(targets, said))
    each = [metrics.f1_score(targets == label, said == label) for label in range(4)]
    assert measured["macro_f1"] == pytest.approx(np.mean(each))
    assert measured["loss"] == pytest.approx(metrics.log_loss(targets, probabilities, labels=range(5)))


def test_macro_f1_counts_a_class_that_is_never_found_as_zero() -> None:
    outputs = torch.tensor([[9.0, 0.0], [9.0, 0.0]])
    assert TASK.metrics(outputs, torch.tensor([0, 1]))["macro_f1"] == pytest.approx((2 / 3) / 2)


def test_the_calibration_error_of_two_bins_is_what_one_computes_by_hand() -> None:
    # confidences .9 (right), .9 (wrong), .6 (right), .6 (right): |.5 - .9| / 2 + |1 - .6| / 2 = .4
    confidence = torch.tensor([0.9, 0.9, 0.6, 0.6], dtype=torch.float64)
    outputs = torch.stack([confidence, 1 - confidence], dim=-1).log()
    assert calibration_error(outputs, torch.tensor([0, 1, 0, 0])) == pytest.approx(0.4)
    # one bin compares the mean accuracy, .75, with the mean confidence, .75
    assert calibration_error(outputs, torch.tensor([0, 1, 0, 0]), bins=1) == pytest.approx(0.0)


def test_confidences_that_lie_in_different_fifteenths_are_not_averaged_with_each_other() -> None:
    confidence = torch.tensor([0.62, 0.78], dtype=torch.float64)
    outputs = torch.stack([confidence, 1 - confidence], dim=-1).log()
    targets = torch.tensor([0, 1])  # right, wrong
    assert calibration_error(outputs, targets) == pytest.approx((1 - 0.62) / 2 + 0.78 / 2)
    assert calibration_error(outputs, targets, bins=5) == pytest.approx(0.7 - 0.5)


def test_a_certain_model_is_calibrated_where_it_is_right_and_off_by_one_where_it_is_wrong() -> None:
    outputs = torch.tensor([[100.0, 0.0], [100.0, 0.0]])
    assert calibration_error(outputs, torch.tensor([0, 0])) == pytest.approx(0.0)
    assert calibration_error(outputs, torch.tensor([1, 1])) == pytest.approx(1.0)


def test_an_empty_set_gives_nan_for_every_metric() -> None:
    nothing = TASK.metrics(torch.empty(0, 5), torch.empty(0, dtype=torch.long))
    assert nothing.keys() == TASK.metrics(*answers()).keys()
    assert all(math.isnan(value) for value in nothing.values())


def test_metrics_of_a_network_that_says_nan_do_not_raise() -> None:
    measured = TASK.metrics(torch.full((4, 3), float("nan")), torch.tensor([0, 1, 2, 0]))
    assert math.isnan(measured["loss"])
    assert math.isnan(measured["ece"])


def test_an_ensemble_is_the_weighted_mean_of_probabilities() -> None:
    outputs = torch.stack([answers(7)[0], answers(7)[0].flip(-1), torch.zeros(7, 5)])
    weights = torch.tensor([0.5, 0.3, 0.2])
    mean = (F.softmax(outputs, dim=-1) * weights[:, None, None]).sum(0)
    assert torch.allclose(TASK.combine(outputs, weights).exp(), mean)


def test_a_teacher_of_weight_zero_says_nothing_in_an_ensemble() -> None:
    outputs = torch.stack([answers(7)[0], torch.full((7, 5), 1e6)])
    alone = TASK.combine(outputs, torch.tensor([1.0, 0.0]))
    assert torch.allclose(alone, F.log_softmax(outputs[0], dim=-1))


def test_pseudo_labels_agreement_and_chance_are_counted_by_class() -> None:
    first = torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    assert TASK.harden(first).tolist() == [0, 0, 1, 1]
    assert TASK.agreement(first, first * 3) == 1.0
    assert TASK.agreement(first, first.flip(0)) == 0.0
    assert TASK.chance(torch.tensor([1, 1, 1, 0])) == 0.75


def test_a_network_that_answers_everything_alike_has_died() -> None:
    same = torch.tensor([[1.0, 2.0], [11.0, 12.0]])  # equal up to a shift of the logits: equal probabilities
    assert TASK.has_died(same)
    assert TASK.has_died(torch.tensor([[float("nan"), 0.0], [0.0, 1.0]]))
    assert not TASK.has_died(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    assert not TASK.has_died(torch.tensor([[1.0, 2.0]]))


def test_the_divergence_is_the_one_that_the_recipe_names() -> None:
    student, teacher = answers(6)[0], answers(6)[0].flip(0)
    assert torch.allclose(
        TASK.divergence(student, teacher, temperature=3.0),
        kd(student, teacher, temperature=3.0, reduction="none"),
    )
    assert torch.allclose(
        TASK.divergence(student, teacher, measure="mae"), (student - teacher).abs().mean(-1)
    )
    assert torch.allclose(
        TASK.divergence(student, teacher, measure="mse"), (student - teacher).square().mean(-1)
    )


def by_definition(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
    """Measure one network with scikit-learn and PyTorch, one formula after the other."""
    predicted = outputs.argmax(dim=-1)
    confidence = F.softmax(outputs.double(), dim=-1).amax(dim=-1)
    right = (predicted == targets).double()
    place = (confidence * 15).ceil().clamp(1, 15)
    gaps = [float((right - confidence)[place == number].sum().abs()) for number in range(1, 16)]
    return {
        "accuracy": float(metrics.accuracy_score(targets.numpy(), predicted.numpy())),
        "macro_f1": float(
            metrics.f1_score(
                targets.numpy(),
                predicted.numpy(),
                labels=np.unique(targets.numpy()),
                average="macro",
                zero_division=0.0,
            )
        ),
        "loss": float(F.cross_entropy(outputs.double(), targets)),
        "ece": sum(gaps) / len(targets),
    }


@given(
    seed=st.integers(0, 999),
    clients=st.integers(1, 5),
    n=st.integers(1, 90),
    classes=st.integers(1, 12),
    scale=st.sampled_from([0.0, 0.1, 3.0, 50.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_metrics_of_many_are_what_the_definitions_say_of_each(
    seed: int, clients: int, n: int, classes: int, scale: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = (scale * torch.randn(clients, n, classes, generator=generator)).to(dtype)
    targets = torch.randint(classes, (n,), generator=generator)
    for each, said in zip(outputs, TASK.metrics_of_many(outputs, targets), strict=True):
        assert said == pytest.approx(by_definition(each, targets), rel=1e-12, abs=1e-12)
        assert said == TASK.metrics(each, targets)


def test_how_many_are_measured_at_once_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = torch.stack([answers(3000)[0] * factor for factor in (0.1, 0.5, 1.0, 2.0, 5.0)])
    targets = answers(3000)[1]
    monkeypatch.setattr(base, "_AT_ONCE", 2 * outputs[0].numel())
    pairs = TASK.measure(outputs, targets)
    monkeypatch.setattr(base, "_AT_ONCE", 1)
    assert TASK.measure(outputs, targets) == pairs
    monkeypatch.undo()
    assert TASK.measure(outputs, targets) == pairs
    assert [said.pop("dead") for said in pairs] == [0.0] * 5
    assert pairs == [TASK.metrics(each, targets) for each in outputs]


def test_many_that_have_nothing_to_measure_have_nan_and_none_have_none() -> None:
    nothing = TASK.metrics_of_many(torch.empty(3, 0, 5), torch.empty(0, dtype=torch.long))
    assert len(nothing) == 3
    assert all(math.isnan(value) for said in nothing for value in said.values())
    assert TASK.measure(torch.empty(0, 4, 5), torch.zeros(4, dtype=torch.long)) == []


def test_measuring_does_not_import_scikit_learn() -> None:
    code = (
        "import sys, torch; from fedkd.tasks import Classification, Regression;"
        "Classification().metrics(torch.eye(3), torch.arange(3)); Regression().metrics(torch.eye(3), torch.eye(3));"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_network_that_tells_only_late_samples_apart_is_alive_and_one_of_many_is_found() -> None:
    late = torch.zeros(100, 3)
    late[99, 0] = 1.0
    infinite = torch.randn(100, 3)
    infinite[70, 1] = math.inf
    sure = torch.randn(100, 3)
    sure[70, 1] = -math.inf  # a probability of zero
    together = torch.stack([torch.zeros(100, 3), late, infinite, sure, torch.full((100, 3), math.nan)])
    assert TASK.died(together).tolist() == [True, False, True, False, True]
    assert [TASK.has_died(each) for each in together] == [True, False, True, False, True]


def test_losses_are_the_supervised_ones_in_float64() -> None:
    outputs, targets = answers()
    losses = TASK.summand_and_losses(outputs, targets)[1]
    torch.testing.assert_close(losses, TASK.supervised(outputs.double(), targets), rtol=1e-12, atol=1e-12)


def test_summands_are_probabilities_and_come_back_from_their_mean() -> None:
    outputs, targets = answers()
    expected = F.softmax(outputs.double(), dim=-1)
    torch.testing.assert_close(TASK.summand(outputs), expected, rtol=1e-12, atol=1e-15)
    assert torch.equal(TASK.summand_and_losses(outputs, targets)[0], TASK.summand(outputs))
    torch.testing.assert_close(TASK.from_mean(TASK.summand(outputs)), expected.log(), rtol=1e-12, atol=1e-12)
