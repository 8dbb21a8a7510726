"""Running means of weights: by hand, and what they leave alone."""

import pytest
import torch
from torch import Tensor, nn

from fedkd.models._running_means import moved, standing_still


def followed(weights: list[float], *, decay: float) -> list[dict[str, Tensor]]:
    """Return the parameters after each step in which the one weight has one of these values."""
    after, mean, steps = [], torch.tensor([9.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for weight in weights:
        now = {
            "peers.a": torch.tensor([weight], dtype=torch.float64),
            "mean.a": mean,
            "steps": steps,
            "b": mean,
        }
        after.append(moved(now, decay=decay))
        mean, steps = after[-1]["mean.a"], after[-1]["steps"]
    return after


def test_the_mean_over_three_steps_is_plain_while_that_is_faster_than_the_decay() -> None:
    after = followed([1.0, 4.0, 7.0], decay=0.999)
    assert [float(one["mean.a"]) for one in after] == pytest.approx([1.0, 2.5, 4.0])
    assert [float(one["steps"]) for one in after] == [1.0, 2.0, 3.0]


def test_after_that_it_forgets_by_the_decay() -> None:
    after = followed([1.0, 4.0, 7.0, 0.0], decay=0.5)
    assert [float(one["mean.a"]) for one in after] == pytest.approx([1.0, 2.5, 4.75, 2.375])


def test_only_means_and_their_count_are_moved() -> None:
    [after] = followed([1.0], decay=0.9)
    assert after.keys() == {"mean.a", "steps"}


def test_a_copy_that_stands_still_has_the_same_weights_and_does_not_learn() -> None:
    module = nn.Linear(2, 3)
    copy = standing_still(module)
    assert torch.equal(copy.weight, module.weight)
    assert not any(weight.requires_grad for weight in copy.parameters())
    assert all(weight.requires_grad for weight in module.parameters())
