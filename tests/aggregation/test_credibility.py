"""How far a network can be believed about each class: a table of four classes, by hand."""

import pytest
import torch

from fedkd.aggregation.credibility import credibility

TARGETS = torch.tensor([0, 0, 0, 0, 1, 1, 2])
NAMED = torch.tensor([0, 0, 0, 1, 1, 0, 2])
"""Of class 0 three of four are found, of class 1 one of two, which leaves the other for class 0; nobody has class 3."""
OUTPUTS = 50.0 * torch.nn.functional.one_hot(NAMED, 4)


def test_a_class_is_credible_where_it_is_found_and_no_other_is_taken_for_it() -> None:
    found = credibility(OUTPUTS.float(), TARGETS, classes=4, measure="unconfused")
    assert found.tolist() == pytest.approx([0.75 * (1 - 0.5), 0.5 * (1 - 0.25), 1.0, 0.0])


def test_confidence_is_the_mean_probability_of_the_true_class() -> None:
    probabilities = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = credibility(probabilities.log(), torch.tensor([0, 0, 1]), classes=2, measure="confidence")
    assert found.tolist() == pytest.approx([0.6, 0.7])
    sure = credibility(OUTPUTS.float(), TARGETS, classes=4, measure="confidence")
    assert sure.tolist() == pytest.approx([0.75, 0.5, 1.0, 0.0])


def test_without_samples_nothing_is_credible() -> None:
    nothing = torch.empty(0, dtype=torch.long)
    for measure in ("confidence", "unconfused"):
        assert credibility(torch.empty(0, 3), nothing, classes=3, measure=measure).tolist() == [0.0] * 3
