import weakref
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.aggregation.folding import Folding, Fused
from fedkd.aggregation.fusions.base import Fusion, MeanFusion
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.teachers import Teachers, shares
from fedkd.aggregation.weightings.base import LoneWeighting, Weighting
from fedkd.aggregation.weightings.uniform import Uniform

TEACHERS, SAMPLES, CLASSES = 6, 9, 4
SIZES = [3, 1, 40, 7, 7, 100]
ROWS: list[Tensor | None] = [None, torch.tensor([7, 0, 3]), None, torch.tensor([5]), None, None]


@dataclass(frozen=True, kw_only=True)
class Median(Fusion):
    """The median of logits, which no sum gives."""

    def fuse(self, outputs: Tensor, weights: Tensor) -> Tensor:
        del weights
        return outputs.median(dim=0).values


@dataclass(frozen=True, kw_only=True)
class Sure(LoneWeighting):
    """A teacher counts by how sure it is, sample by sample."""

    def alone(self, teachers: Teachers) -> Tensor:
        return teachers.outputs.softmax(dim=-1).amax(dim=-1) * teachers.sizes[:, None]


@dataclass(frozen=True, kw_only=True)
class Surest(Weighting):
    """All weight on the teacher that is surest, which needs a look at all."""

    def weigh(self, teachers: Teachers) -> Tensor:
        surest = teachers.outputs.amax(dim=-1).argmax(dim=0)
        return torch.nn.functional.one_hot(surest, len(teachers.outputs)).T.float()


EVERY_FUSION: list[Fusion] = [FUSIONS.create(name, key="fusion") for name in FUSIONS.names()]
# Those that need more than answers and sizes are folded in the contract, with all that they need.
WEIGHINGS: list[Weighting] = [
    weighting
    for weighting in (WEIGHTINGS.create(name, key="weighting") for name in WEIGHTINGS.names())
    if not weighting.needs
]
PAIRS = [(fusion, weighting) for fusion in EVERY_FUSION for weighting in (*WEIGHINGS, Sure())]
FOLDED: list[tuple[Fusion, Weighting]] = [
    (fusion, weighting)
    for fusion, weighting in PAIRS
    if isinstance(fusion, MeanFusion) and isinstance(weighting, LoneWeighting)
]
HELD: list[tuple[Fusion, Weighting]] = [
    *(pair for pair in PAIRS if pair not in FOLDED),
    (Median(), Uniform()),
    (MeanLogits(), Surest()),
]


def outputs() -> Tensor:
    return 3.0 * torch.randn(TEACHERS, SAMPLES, CLASSES, generator=torch.Generator().manual_seed(5))


def folded(fusion: Fusion, weighting: Weighting, order: list[int], rows: list[Tensor | None]) -> Fused:
    folding, said = Folding(fusion, weighting, samples=SAMPLES), outputs()
    for client in order:
        about = rows[client]
        answer = said[client] if about is None else said[client, about]
        folding.add(client, answer, size=SIZES[client], rows=about)
    return folding.result()


def at_once(fusion: Fusion, weighting: Weighting, rows: list[Tensor | None]) -> tuple[Tensor, Tensor]:
    """Return the target and the weights where all answers are there together."""
    present = torch.zeros(TEACHERS, SAMPLES)
    for client, about in enumerate(rows):
        present[client, slice(None) if about is None else about] = 1.0
    said = outputs() * present[..., None]
    teachers = Teachers(outputs=said, sizes=torch.tensor(SIZES).float(), present=present > 0)
    weights = shares(weighting.weigh(teachers), present > 0)
    return fusion.fuse(said, weights), weights


def named(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize(("fusion", "weighting"), FOLDED + HELD, ids=named)
@pytest.mark.parametrize("rows", [[None] * TEACHERS, ROWS], ids=["whole", "partial"])
def test_answers_one_by_one_give_what_all_at_once_give(
    fusion: Fusion, weighting: Weighting, rows: list[Tensor | None]
) -> None:
    fused = folded(fusion, weighting, list(range(TEACHERS)), rows)
    target, weights = at_once(fusion, weighting, rows)
    assert fused.scores.dtype == torch.float32
    assert torch.allclose(fused.scores, target, rtol=1e-6, atol=1e-6)
    assert list(fused.weights) == list(range(TEACHERS))
    assert list(fused.weights.values()) == pytest.approx(weights.mean(dim=1).tolist(), rel=1e-5)


@pytest.mark.parametrize(("fusion", "weighting"), FOLDED + HELD, ids=named)
@settings(max_examples=12)
@given(order=st.permutations(range(TEACHERS)))
def test_the_order_of_answers_does_not_change_a_bit(
    fusion: Fusion, weighting: Weighting, order: list[int]
) -> None:
    first, second = (folded(fusion, weighting, each, ROWS) for each in (list(range(TEACHERS)), order))
    assert torch.equal(first.scores, second.scores)
    assert first.weights == second.weights
    assert list(first.weights) == list(second.weights)


@pytest.mark.parametrize(("fusion", "weighting"), [(MeanLogits(), Uniform()), (Median(), Uniform())])
def test_samples_that_nobody_spoke_about_are_left_out(fusion: Fusion, weighting: Weighting) -> None:
    folding = Folding(fusion, weighting, samples=SAMPLES)
    folding.add(4, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), size=1, rows=torch.tensor([8, 2]))
    folding.add(2, torch.tensor([[5.0, 6.0]]), size=1, rows=torch.tensor([5]))
    fused = folding.result()
    assert fused.heard.tolist() == [2, 5, 8]
    if isinstance(fusion, MeanLogits):
        assert fused.scores.tolist() == [[3.0, 4.0], [5.0, 6.0], [1.0, 2.0]]
    assert fused.weights == pytest.approx({2: 1 / 3, 4: 2 / 3})


@pytest.mark.parametrize(("fusion", "weighting"), FOLDED, ids=named)
def test_a_fold_holds_no_answer(fusion: Fusion, weighting: Weighting) -> None:
    assert not any(still_there(fusion, weighting))


@pytest.mark.parametrize(("fusion", "weighting"), HELD, ids=named)
def test_what_needs_all_answers_at_once_has_them(fusion: Fusion, weighting: Weighting) -> None:
    assert all(still_there(fusion, weighting))


def still_there(fusion: Fusion, weighting: Weighting) -> list[bool]:
    folding, seen = Folding(fusion, weighting, samples=SAMPLES), []
    for client, said in enumerate(outputs()):
        answer = said.clone()
        seen.append(weakref.ref(answer.untyped_storage()))
        folding.add(client, answer, size=1)
        del answer
    return [storage() is not None for storage in seen]


@pytest.mark.parametrize("fusion", [MeanLogits(), Median()])
def test_a_text_is_fused_place_by_place_and_samples_keep_their_ids(fusion: Fusion) -> None:
    generator = torch.Generator().manual_seed(0)
    said = torch.randn(2, 3, 4, 5, generator=generator)  # teachers, samples, places, symbols
    texts, places = (Folding(fusion, Sure(), samples=samples) for samples in (6, 24))
    rows = torch.tensor([5, 0, 2])
    each = (rows[:, None] * 4 + torch.arange(4)).flatten()
    for client, one in enumerate(said):
        texts.add(client, one, size=1, rows=rows)
        places.add(client, one.flatten(0, 1), size=1, rows=each)
    fused, flat = texts.result(), places.result()
    assert fused.heard.tolist() == [0, 2, 5]
    assert torch.equal(fused.scores.flatten(0, 1), flat.scores)
    assert fused.weights == flat.weights
