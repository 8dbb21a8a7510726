import math

import pytest
import torch
from sklearn import metrics
from torch.func import vmap

from fedkd.models._heads import by_head
from fedkd.tasks import Classification, MultitaskClassification

SIZES = (2, 4, 3)
TASK = MultitaskClassification(heads=("a", "b", "c"), classes=SIZES)


def said(n: int = 12, seed: int = 0, sizes: tuple[int, ...] = SIZES) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(n, sum(sizes), generator=generator, dtype=torch.float64)
    targets = torch.stack([torch.randint(size, (n,), generator=generator) for size in sizes], dim=1)
    return by_head(scores, sizes), targets


def test_metrics_are_means_over_the_heads_of_what_is_known_and_agree_with_scikit_learn() -> None:
    outputs, targets = said()
    targets[:7, 0], targets[3, 2] = -1, -1
    measured, by_hand = TASK.metrics(outputs, targets), []
    for head, size in enumerate(SIZES):
        known = targets[:, head] >= 0
        true, scores = targets[known, head].numpy(), outputs[known, head, :size]
        right = metrics.accuracy_score(true, scores.argmax(dim=1))
        by_hand.append((right, metrics.log_loss(true, scores.softmax(dim=1).numpy(), labels=range(size))))
        assert measured[f"accuracy_{TASK.heads[head]}"] == pytest.approx(right)
    assert measured["accuracy"] == pytest.approx(sum(right for right, _ in by_hand) / 3)
    assert measured["loss"] == pytest.approx(sum(loss for _, loss in by_hand) / 3)


def test_the_loss_that_is_trained_is_the_one_that_is_reported_where_all_is_known() -> None:
    outputs, targets = said()
    loss = TASK.metrics(outputs, targets)["loss"]
    assert float(TASK.supervised(outputs, targets).mean()) == pytest.approx(loss, abs=1e-8)
    summand, losses = TASK.summand_and_losses(outputs, targets)
    torch.testing.assert_close(losses, TASK.supervised(outputs, targets))
    torch.testing.assert_close(summand, outputs.softmax(dim=-1))


def test_one_head_is_a_classification() -> None:
    (outputs, targets), (other, _) = said(sizes=(4,)), said(seed=1, sizes=(4,))
    one, theirs = MultitaskClassification(heads=("a",), classes=(4,)), Classification()
    for measure in ("task", "mae", "mse", "cosine"):
        mine = one.divergence(outputs, other, measure=measure, temperature=2.0)
        their = theirs.divergence(outputs[:, 0], other[:, 0], measure=measure, temperature=2.0)
        torch.testing.assert_close(mine, their)
    assert one.metrics(outputs, targets) == {
        **theirs.metrics(outputs[:, 0], targets[:, 0]),
        "accuracy_a": theirs.metrics(outputs[:, 0], targets[:, 0])["accuracy"],
    }
    assert one.chance(targets) == theirs.chance(targets[:, 0])


def test_a_head_whose_class_is_not_known_learns_nothing_and_has_no_metrics() -> None:
    outputs, targets = said()
    targets[:, 1] = -1
    targets[4] = -1
    outputs.requires_grad_()
    losses = TASK.supervised(outputs, targets)
    losses.sum().backward()
    assert outputs.grad is not None
    assert float(outputs.grad[:, 1].abs().max()) == float(losses[4].detach()) == 0.0
    assert float(outputs.grad[:, 0].abs().max()) > 0.0
    measured = TASK.metrics(outputs, targets)
    assert math.isnan(measured["accuracy_b"])
    assert measured["accuracy"] == pytest.approx((measured["accuracy_a"] + measured["accuracy_c"]) / 2)
    nothing = torch.full_like(targets, -1)
    assert all(math.isnan(value) for value in TASK.metrics(outputs, nothing).values())
    assert TASK.chance(nothing) == 0.0


@pytest.mark.parametrize("measure", ["mae", "mse", "cosine"])
def test_classes_that_a_head_lacks_count_in_no_comparison_of_raw_scores(measure: str) -> None:
    (outputs, _), (teacher, _) = said(), said(seed=1)
    changed = outputs.clone()
    changed[:, 0, 2:] = changed[:, 2, 3] = 7.0
    same = (TASK.divergence(one, teacher, measure=measure) for one in (outputs, changed))
    assert torch.equal(*same)


def test_divergence_is_the_mean_over_the_heads_and_softening_brings_no_absent_class_back() -> None:
    (outputs, _), (teacher, _) = said(), said(seed=1)
    alone = [
        Classification().divergence(outputs[:, head, :size], teacher[:, head, :size], temperature=4.0)
        for head, size in enumerate(SIZES)
    ]
    whole = TASK.divergence(outputs, teacher, temperature=4.0)
    torch.testing.assert_close(whole, torch.stack(alone).mean(dim=0), rtol=0.02, atol=1e-3)


def test_gradients_are_right_and_do_not_depend_on_whether_samples_are_mapped_over() -> None:
    outputs, targets = said(n=3)
    targets[1, 2], targets[2] = -1, -1
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: TASK.supervised(x, targets), outputs)
    mapped = vmap(lambda x, y: TASK.supervised(x[None], y[None])[0])(outputs, targets)
    torch.testing.assert_close(mapped, TASK.supervised(outputs, targets))


def test_a_network_dies_when_no_head_tells_samples_apart_or_nothing_finite_is_said() -> None:
    outputs, targets = said()
    one_head, same, broken = outputs.clone(), outputs[:1].expand_as(outputs), outputs.clone()
    one_head[:, 1:] = outputs[:1, 1:]
    broken[3, 2, 1] = math.nan
    assert TASK.died(torch.stack([outputs, one_head, same, broken])).tolist() == [False, False, True, True]
    assert TASK.agreement(outputs, outputs) == 1.0
    assert TASK.agreement(outputs, -outputs) < 1.0
    assert (TASK.harden(outputs) < torch.tensor(SIZES)).all()
    both = TASK.measure(torch.stack([outputs, same]), targets)
    assert [TASK.metrics(one, targets) for one in (outputs, same)] == [
        {name: value for name, value in measured.items() if name != "dead"} for measured in both
    ]
