"""Weightings by hand; what holds of all of them is in their contract."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation import WEIGHTINGS
from fedkd.aggregation.teachers import Teachers, shares
from fedkd.aggregation.weightings.accuracy import Accuracy
from fedkd.aggregation.weightings.base import Weighting
from fedkd.aggregation.weightings.class_counts import ClassCounts
from fedkd.aggregation.weightings.confidence import Confidence
from fedkd.aggregation.weightings.domain_classifier import DomainClassifier
from fedkd.aggregation.weightings.drop_worst import DropWorst
from fedkd.aggregation.weightings.entropy import Entropy
from fedkd.aggregation.weightings.gradient import Gradient, smallest_combination
from fedkd.aggregation.weightings.variance import Variance
from fedkd.foundation.errors import InvalidOption

LABELS = torch.tensor([0, 1])


def teachers(probabilities: list[list[list[float]]], **known: Any) -> Teachers:
    """Teachers by what they say: [teachers][samples][classes]."""
    outputs = torch.tensor(probabilities, dtype=torch.float64).log()
    everyone = torch.ones(outputs.shape[:2], dtype=torch.bool)
    sizes = torch.ones(len(outputs), dtype=torch.float64)
    return Teachers(outputs=outputs, **{"sizes": sizes, "present": everyone, **known})


SURE, UNSURE, WRONG = [0.9, 0.1], [0.5, 0.5], [0.2, 0.8]


@given(sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=20))
def test_weights_by_size_are_shares_of_all_samples_and_uniform_ones_ignore_sizes(sizes: list[int]) -> None:
    known = teachers([[SURE]] * len(sizes), sizes=torch.tensor(sizes, dtype=torch.float64))
    by_size = WEIGHTINGS.create("size", key="weighting").weigh(known)
    assert torch.allclose(by_size[:, 0], torch.tensor(sizes) / torch.tensor(sizes).double().sum())
    assert torch.allclose(
        WEIGHTINGS.create("uniform", key="weighting").weigh(known), torch.tensor(1.0 / len(sizes)).double()
    )


def test_shares_are_of_those_who_spoke_and_alike_where_nobody_weighs_anything() -> None:
    weights = torch.tensor([[1.0, 0.0, 2.0, 0.0], [3.0, 0.0, 5.0, 0.0]])
    present = torch.tensor([[True, True, True, False], [True, True, False, False]])
    assert shares(weights, present).tolist() == [[0.25, 0.5, 1.0, 0.0], [0.75, 0.5, 0.0, 0.0]]


def test_the_entropy_of_the_others_is_the_weight() -> None:
    def entropy(p: list[float]) -> float:
        return -sum(x * math.log(x) for x in p)

    weights = Entropy().weigh(teachers([[SURE], [UNSURE], [WRONG]]))[:, 0]
    found = [entropy(p) for p in (SURE, UNSURE, WRONG)]
    assert weights.tolist() == pytest.approx([(1 - h / sum(found)) / 2 for h in found], abs=1e-12)


def test_of_two_teachers_present_the_absent_third_has_no_part_in_the_entropy() -> None:
    three = teachers([[SURE], [UNSURE], [WRONG]], present=torch.tensor([[True], [True], [False]]))
    two = Entropy().weigh(teachers([[SURE], [UNSURE]]))
    assert Entropy().weigh(three)[:, 0].tolist() == pytest.approx([*two[:, 0].tolist(), 0.0], abs=1e-12)


def test_the_loss_against_the_labels_takes_weight() -> None:
    said = teachers([[SURE, WRONG], [UNSURE, UNSURE], [WRONG, SURE]], labels=LABELS)
    weights = Confidence().weigh(said)
    for sample, right in enumerate([[0.9, 0.5, 0.2], [0.8, 0.5, 0.1]]):
        inverse = [1 / p for p in right]  # exp(CE)
        expected = [(1 - x / sum(inverse)) / 2 for x in inverse]
        assert weights[:, sample].tolist() == pytest.approx(expected, abs=1e-12)


def test_the_variance_of_logits_is_that_of_their_log_probabilities() -> None:
    raw = torch.tensor([[[2.0, 0.0, 4.0]], [[1.0, 1.0, 1.0]], [[0.0, 3.0, 0.0]]])
    known = Teachers(outputs=raw, sizes=torch.ones(3), present=torch.ones(3, 1, dtype=torch.bool))
    expected = [(8 / 3) / (8 / 3 + 2), 0.0, 2 / (8 / 3 + 2)]
    assert Variance().weigh(known)[:, 0].tolist() == pytest.approx(expected, abs=1e-6)
    normalised = Teachers(outputs=raw.log_softmax(-1), sizes=known.sizes, present=known.present)
    assert torch.allclose(Variance().weigh(known), Variance().weigh(normalised), atol=1e-6)


def test_accuracy_counts_on_validation_data_on_the_proxy_set_and_on_what_clients_held_out() -> None:
    said = [[SURE, WRONG], [SURE, SURE], [WRONG, SURE]]
    by_score = Accuracy().weigh(teachers(said, scores=torch.tensor([0.9, 0.6, -0.2])))
    assert by_score[:, 0].tolist() == pytest.approx([0.6, 0.4, 0.0], abs=1e-7)
    on_proxy = Accuracy(on="proxy").weigh(teachers(said, labels=LABELS))
    assert on_proxy[:, 0].tolist() == pytest.approx([2 / 3, 1 / 3, 0.0], abs=1e-7)
    sent = {
        "score": torch.tensor([0.8, 0.4, 0.0]),
        "chance": torch.tensor([0.3, 0.3, 0.3]),
        "judged_on": torch.tensor([10.0, 5.0, 0.0]),
    }
    sent["chance"][2] = 0.4
    held_out = Accuracy(on="holdout").weigh(teachers(said, sent=sent))
    assert held_out[:, 1].tolist() == pytest.approx([0.5, 0.25, 0.25], abs=1e-7)


def test_teachers_no_better_than_chance_are_dropped_unless_all_are() -> None:
    said, sizes = [[SURE], [SURE], [SURE]], torch.tensor([1.0, 3.0, 4.0]).double()
    scores = torch.tensor([0.5, 0.6, 0.9])
    known = teachers(said, sizes=sizes, scores=scores, chance=0.5)
    assert DropWorst().weigh(known)[:, 0].tolist() == pytest.approx([0.0, 0.5, 0.5], abs=1e-9)
    assert DropWorst(by_size=True).weigh(known)[:, 0].tolist() == pytest.approx([0, 3 / 7, 4 / 7], abs=1e-9)
    hopeless = teachers(said, scores=scores, chance=0.95)
    assert DropWorst().weigh(hopeless)[:, 0].tolist() == pytest.approx([1 / 3] * 3)


def test_class_counts_are_shares_of_the_class_by_label_or_by_what_teachers_say() -> None:
    sent = {"class_counts": torch.tensor([[6.0, 0.0], [2.0, 5.0]])}
    by_label = ClassCounts().weigh(teachers([[SURE] * 2] * 2, labels=LABELS, sent=sent))
    assert by_label.tolist() == [[0.75, 0.0], [0.25, 1.0]]
    mixed = ClassCounts(by="teachers").weigh(teachers([[SURE], [UNSURE]], sent=sent))
    assert mixed[:, 0].tolist() == pytest.approx([4.2 / (4.2 + 1.4 + 1.5), 2.9 / 7.1], abs=1e-12)
    nobody = {"class_counts": torch.zeros(2, 2)}
    assert ClassCounts().weigh(teachers([[SURE] * 2] * 2, labels=LABELS, sent=nobody)).unique().tolist() == [
        0.5
    ]


def test_the_smallest_combination_of_two_gradients_is_the_foot_of_the_perpendicular() -> None:
    vectors = np.array([[2.0, 0.0], [0.0, 1.0]])
    found = smallest_combination(vectors @ vectors.T, largest=1.0)
    assert found == pytest.approx([0.2, 0.8], abs=1e-5)  # |g2|^2 / (|g1|^2 + |g2|^2)
    assert smallest_combination(vectors @ vectors.T, largest=0.7) == pytest.approx([0.3, 0.7], abs=1e-5)
    inside = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert smallest_combination(inside @ inside.T, largest=1.0) == pytest.approx([1.0, 0.0], abs=1e-5)
    assert smallest_combination(np.zeros((3, 3)), largest=1.0) == pytest.approx([1 / 3] * 3)


@given(seed=st.integers(0, 1000), count=st.integers(2, 8), largest=st.floats(0.2, 1.0))
def test_no_other_shares_give_a_smaller_gradient(seed: int, count: int, largest: float) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(count, 5))
    gram, bound = vectors @ vectors.T, max(largest, 1 / count)
    found = smallest_combination(gram, largest)
    assert found.sum() == pytest.approx(1.0)
    assert found.min() >= 0.0
    assert found.max() <= bound * (1 + 1e-5)
    for _ in range(20):  # any other allowed point of the line to a random one is no better
        other = np.minimum(generator.dirichlet(np.ones(count)), bound)
        other = other / other.sum() if other.sum() > 0 else other
        if other.max() <= bound:
            mixed = 0.9 * found + 0.1 * other
            assert found @ gram @ found <= mixed @ gram @ mixed + 1e-5 * np.trace(gram)


def test_a_gradient_weighting_makes_every_loss_fall_along_its_direction() -> None:
    said = torch.randn(4, 10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student = torch.randn(10, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    known = Teachers(
        outputs=said,
        sizes=torch.ones(4).double(),
        present=torch.ones(4, 10, dtype=torch.bool),
        student=student,
    )
    weights = Gradient().weigh(known)
    assert torch.equal(weights, weights[:, :1].expand(4, 10))
    gradients = student.softmax(-1) - said.softmax(-1)
    step = (weights[..., None] * gradients).sum(dim=0)
    assert ((gradients * step).sum(dim=(1, 2)) >= step.square().sum() - 1e-4).all()


def test_a_domain_classifier_tells_own_samples_and_the_odds_are_the_ratio_of_densities() -> None:
    sent = {"certainty": torch.tensor([[0.8, 0.5], [0.2, 0.5]])}
    known = teachers([[SURE] * 2] * 2, sent=sent)
    assert torch.allclose(DomainClassifier().weigh(known).float(), sent["certainty"])
    ratio = DomainClassifier(form="density_ratio").weigh(known)
    assert ratio[:, 0].tolist() == pytest.approx([4 / 4.25, 0.25 / 4.25], abs=1e-6)
    with pytest.raises(InvalidOption, match="density ratio"):
        WEIGHTINGS.create(
            {"name": "domain_classifier", "form": "density_ratio", "epsilon": 1.0}, key="weighting"
        )


Testify = Callable[[Weighting, Tensor, Tensor], dict[str, Tensor]]
