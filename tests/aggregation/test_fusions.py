import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation import FUSIONS
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.era import ERA
from fedkd.aggregation.fusions.mean_log_probabilities import MeanLogProbabilities
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.fusions.power import Power
from fedkd.tasks import Classification


def answers(teachers: int = 4, n: int = 6, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    outputs = 3 * torch.randn(teachers, n, classes, generator=generator, dtype=torch.float64)
    weights = torch.rand(teachers, n, generator=generator, dtype=torch.float64)
    return outputs, weights / weights.sum(0)


def in_log_space(outputs: Tensor, weights: Tensor) -> Tensor:
    """The logarithm of the mean probability without leaving log space: what all fusions of probabilities are held against."""
    return torch.logsumexp(F.log_softmax(outputs, dim=-1) + weights.log()[..., None], dim=0)


def entropy(scores: Tensor) -> Tensor:
    p = F.softmax(scores, dim=-1)
    return -(p * F.log_softmax(scores, dim=-1)).sum(-1)


def certain_of_one(p: float, classes: int) -> Tensor:
    """One teacher, one sample: probability p for the first class, the rest shared alike."""
    rest = torch.full((classes - 1,), (1 - p) / (classes - 1), dtype=torch.float64)
    return torch.cat([torch.tensor([p], dtype=torch.float64), rest]).log()[None, None]


ALONE = torch.ones(1, 1, dtype=torch.float64)
NOISELESS = {"noisy_vote": {"name": "noisy_vote", "sigma": 0}}
EVERY_FUSION: list[Fusion] = [
    fusion
    for name in FUSIONS.names()
    if not (fusion := FUSIONS.create(NOISELESS.get(name, name), key="fusion")).needs_gaussians
]
"""But for those of normal distributions, which have a file of their own."""


def test_the_mean_of_logits_is_the_normalised_geometric_mean_of_the_probabilities() -> None:
    outputs, weights = answers()
    geometric = (F.softmax(outputs, dim=-1) ** weights[..., None]).prod(0)
    normalised = geometric / geometric.sum(-1, keepdim=True)
    assert torch.allclose(F.softmax(MeanLogits().fuse(outputs, weights), dim=-1), normalised)


def test_the_mean_of_probabilities_is_their_arithmetic_mean() -> None:
    outputs, weights = answers()
    mean = (F.softmax(outputs, dim=-1) * weights[..., None]).sum(0)
    assert torch.allclose(F.softmax(MeanProbabilities().fuse(outputs, weights), dim=-1), mean)
    assert torch.allclose(in_log_space(outputs, weights).exp(), mean)


def test_a_student_at_the_temperature_of_the_fusion_learns_the_mean_of_softened_outputs() -> None:
    outputs, weights = answers()
    mean = (F.softmax(outputs / 4.0, dim=-1) * weights[..., None]).sum(0)
    fused = MeanProbabilities(temperature=4.0).fuse(outputs, weights)
    assert torch.allclose(F.softmax(fused / 4.0, dim=-1), mean)
    # With one teacher the order does not matter.
    alone = MeanProbabilities(temperature=4.0).fuse(outputs[:1], torch.ones_like(weights[:1]))
    assert torch.allclose(F.softmax(alone, dim=-1), F.softmax(outputs[0], dim=-1))


def test_era_of_two_teachers_is_what_one_computes_by_hand() -> None:
    outputs = torch.tensor([[[0.8, 0.2]], [[0.4, 0.6]]]).log()
    fused = ERA(temperature=0.1).fuse(outputs, torch.full((2, 1), 0.5))
    assert torch.allclose(fused, torch.tensor([[6.0, 4.0]]))
    assert float(F.softmax(fused, dim=-1)[0, 0]) == pytest.approx(1 / (1 + 2.718281828**-2), rel=1e-6)


def test_the_power_of_the_mean_is_normalised_by_the_softmax() -> None:
    outputs, weights = answers()
    mean = in_log_space(outputs, weights).exp()
    squared = mean**2 / (mean**2).sum(-1, keepdim=True)
    assert torch.allclose(F.softmax(Power(exponent=2.0).fuse(outputs, weights), dim=-1), squared)


@pytest.mark.parametrize(("temperature", "p", "classes"), [(1.0, 0.6, 10), (0.5, 0.6, 10), (0.1, 0.2, 100)])
def test_era_raises_the_entropy_in_the_cases_where_it_is_known_to(
    temperature: float, p: float, classes: int
) -> None:
    said = certain_of_one(p, classes)
    assert entropy(ERA(temperature=temperature).fuse(said, ALONE)) > entropy(said[0])


def test_era_sharpens_ten_classes_at_the_temperature_of_its_paper() -> None:
    said = certain_of_one(0.6, 10)
    assert entropy(ERA().fuse(said, ALONE)) < entropy(said[0])


def test_era_raises_the_entropy_of_a_hundred_classes_from_4_18_to_4_54_nats() -> None:
    said = certain_of_one(0.2, 100)
    assert float(entropy(said[0])) == pytest.approx(4.18, abs=0.01)
    assert float(entropy(ERA(temperature=0.1).fuse(said, ALONE))) == pytest.approx(4.54, abs=0.01)


@given(
    logits=st.lists(st.floats(-20, 20), min_size=2, max_size=30),
    exponent=st.floats(1.0, 8.0),
)
def test_a_power_above_one_never_raises_the_entropy(logits: list[float], exponent: float) -> None:
    said = torch.tensor(logits, dtype=torch.float64)[None, None]
    sharpened = Power(exponent=exponent).fuse(said, ALONE)
    assert entropy(sharpened) <= entropy(said[0]) + 1e-9


@pytest.mark.parametrize("fusion", EVERY_FUSION, ids=lambda fusion: type(fusion).__name__)
@given(order=st.permutations(range(4)))
def test_the_order_of_teachers_does_not_matter(fusion: Fusion, order: list[int]) -> None:
    outputs, weights = answers()
    assert torch.allclose(fusion.fuse(outputs[order], weights[order]), fusion.fuse(outputs, weights))


@pytest.mark.parametrize("fusion", EVERY_FUSION, ids=lambda fusion: type(fusion).__name__)
def test_a_teacher_of_weight_zero_says_nothing(fusion: Fusion) -> None:
    outputs, weights = answers()
    silent = torch.cat([outputs, torch.full_like(outputs[:1], 50.0)])
    counted = torch.cat([weights, torch.zeros_like(weights[:1])])
    assert torch.allclose(fusion.fuse(silent, counted), fusion.fuse(outputs, weights))


@pytest.mark.parametrize(
    "fusion",
    [fusion for fusion in EVERY_FUSION if fusion.needs_classes or isinstance(fusion, MeanLogits)],
    ids=lambda fusion: type(fusion).__name__,
)
def test_a_class_that_a_teacher_rules_out_leaves_a_target(fusion: Fusion) -> None:
    outputs, weights = answers()
    outputs[2, :, 1] = -torch.inf
    assert F.softmax(fusion.fuse(outputs, weights), dim=-1).isfinite().all()


def test_teachers_that_rule_out_all_classes_between_them_leave_a_mean_of_log_probabilities() -> None:
    outputs = torch.tensor([[[0.0, -torch.inf]], [[-torch.inf, 0.0]]])
    fused = MeanLogProbabilities().fuse(outputs, torch.tensor([[0.75], [0.25]]))
    assert fused.tolist() == [[-177.0, -531.0]]


@pytest.mark.parametrize("fusion", EVERY_FUSION, ids=lambda fusion: type(fusion).__name__)
def test_teachers_that_agree_are_counted_as_one(fusion: Fusion) -> None:
    outputs, weights = answers(1)
    three = outputs.repeat(3, 1, 1)
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)[:, None].repeat(1, 6)
    together = F.softmax(fusion.fuse(three, shares), dim=-1)
    assert torch.allclose(together, F.softmax(fusion.fuse(outputs, weights), dim=-1))


@pytest.mark.parametrize("fusion", EVERY_FUSION, ids=lambda fusion: type(fusion).__name__)
def test_fused_targets_stay_usable_on_extreme_logits(fusion: Fusion) -> None:
    outputs = torch.tensor([[[1e8, -1e8, 0.0]], [[-1e8, 1e8, 0.0]]])
    fused = fusion.fuse(outputs, torch.full((2, 1), 0.5))
    assert F.softmax(fused, dim=-1).isfinite().all()


def test_only_the_mean_of_raw_outputs_makes_sense_for_numbers() -> None:
    assert [
        name
        for name in FUSIONS.names()
        if not (found := FUSIONS.find(name, key="")).needs_classes
        and not found.needs_embeddings
        and not found.needs_gaussians
    ] == ["mean_logits"]


def test_the_reported_ensemble_is_the_mean_of_probabilities() -> None:
    outputs, _ = answers()
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    fused = MeanProbabilities().fuse(outputs, weights[:, None].repeat(1, 6))
    assert torch.allclose(Classification().combine(outputs, weights), fused)


@pytest.mark.parametrize("scale", [1.0, 30.0, 200.0])
def test_fusions_of_probabilities_agree_with_their_formulas_in_log_space(scale: float) -> None:
    outputs, weights = answers()
    outputs, weights[0] = scale * outputs, 0.0
    expected = in_log_space(outputs, weights)
    ways = {
        MeanProbabilities(): expected,
        Power(exponent=2.0): 2.0 * expected,
        ERA(temperature=0.1): expected.exp() / 0.1,
    }
    for fusion, scores in ways.items():
        fused = fusion.fuse(outputs, weights)
        possible = expected > -700.0  # elsewhere a probability is 0 in float64, and its logarithm is cut off
        assert torch.allclose(fused[possible], scores[possible], rtol=1e-6)
        assert torch.allclose(F.softmax(fused, dim=-1), F.softmax(scores, dim=-1), rtol=1e-6)
    assert scale < 200.0 or not (expected > -700.0).all()
