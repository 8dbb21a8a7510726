"""Sequence-level distillation: the beam search against an exhaustive one, and what a student learns from it."""

import itertools
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fedkd.distillation import Distiller, Sequences
from fedkd.distillation.beam import beam_search
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Signature, predict
from fedkd.models.gru import GRU
from fedkd.tasks import Generation
from fedkd.training import Fit, Optimizer

SYMBOLS = 3
TABLE = 2 * torch.randn(
    SYMBOLS, SYMBOLS, SYMBOLS, generator=torch.Generator().manual_seed(3), dtype=torch.float64
)
"""Scores of the symbol after two symbols."""
PROMPTS = torch.tensor([[0, 1], [2, 2], [1, 0]])


def score_next(tokens: Tensor) -> Tensor:
    return TABLE[tokens[:, -2], tokens[:, -1]]


def log_probability(whole: Tensor) -> Tensor:
    steps = [
        score_next(whole[:, :end]).log_softmax(-1).gather(1, whole[:, end : end + 1])
        for end in range(2, whole.shape[1])
    ]
    return torch.cat(steps, dim=1).sum(dim=1)


def test_a_beam_as_wide_as_all_continuations_finds_the_most_probable_one() -> None:
    found, probability = beam_search(score_next, PROMPTS, length=4, width=SYMBOLS**4)
    for prompt, mine, said in zip(PROMPTS, found, probability, strict=True):
        every = torch.tensor(
            [[*prompt.tolist(), *rest] for rest in itertools.product(range(SYMBOLS), repeat=4)]
        )
        known = log_probability(every)
        assert torch.equal(mine, every[known.argmax()])
        assert float(said) == pytest.approx(float(known.max()), abs=1e-8)


def test_a_wider_beam_is_no_worse_here_and_greedy_search_takes_the_best_symbol_each_time() -> None:
    greedy, first = beam_search(score_next, PROMPTS, length=4, width=1)
    _, third = beam_search(score_next, PROMPTS, length=4, width=3)
    by_hand = PROMPTS
    for _ in range(4):
        by_hand = torch.cat([by_hand, score_next(by_hand).argmax(dim=1)[:, None]], dim=1)
    assert torch.equal(greedy, by_hand)
    torch.testing.assert_close(first, log_probability(greedy))
    assert (third >= first).all()
    assert (third > first).any(), "this table deceives a greedy search"


def test_of_equally_probable_continuations_the_first_in_the_alphabet_is_taken() -> None:
    found, _ = beam_search(lambda tokens: torch.zeros(len(tokens), 4), PROMPTS, length=3, width=5)
    assert torch.equal(found[:, 2:], torch.zeros(3, 3, dtype=torch.long))


def counts_on(inputs: Mapping[str, Tensor]) -> Tensor:
    """Say of each symbol that the next one of the alphabet follows."""
    return 5.0 * F.one_hot((next(iter(inputs.values())) + 1) % 6, 6).float()


def test_samples_go_on_as_the_teachers_would_and_what_was_given_is_no_target() -> None:
    tokens = torch.tensor([[4, 0, 3, 3, 3], [1, 5, 2, 2, 2]])
    inputs, targets = Sequences(beam=2, prompt=2).continued({"tokens": tokens}, counts_on, prompt=0)
    assert inputs["tokens"].tolist() == [[4, 0, 1, 2, 3], [1, 5, 0, 1, 2]]
    assert targets.tolist() == [[-1, 1, 2, 3, 4], [-1, 0, 1, 2, 3]]


def test_a_student_learns_to_go_on_as_its_teachers_do() -> None:
    with Streams(0).initialising("test"):
        student = GRU(hidden=16).build(Signature({"tokens": (5,)}, 6, {"tokens": 6}))
    tokens = torch.randint(6, (48, 5), generator=Streams(0).torch("tokens"))
    task = Generation(prompt=2)
    distiller = Distiller(
        sequences=Sequences(beam=2),
        fit=Fit(epochs=15, batch_size=16, optimizer=Optimizer(name="adam", lr=0.02)),
    )
    blank = torch.zeros(48, 5, 6)
    taught = distiller.distil(
        student, {"tokens": tokens}, blank, task=task, generator=Streams(0).torch("distil"), speak=counts_on
    )
    assert taught.loss < 0.1
    new = torch.tensor([[3, 4], [0, 2], [5, 5]])
    found, _ = beam_search(lambda some: predict(student, {"tokens": some})[:, -1], new, length=3, width=1)
    assert found[:, 2:].tolist() == [[5, 0, 1], [3, 4, 5], [0, 1, 2]]


@pytest.mark.parametrize("idle", [{"temperature": 2.0}, {"label_weight": 0.5}, {"terms": ("kd",)}])
def test_options_that_a_beam_makes_idle_are_refused(idle: dict[str, object]) -> None:
    with pytest.raises(IllegalCombination, match="no effect beside a beam"):
        Distiller(sequences=Sequences(beam=2), **idle)  # type: ignore[arg-type]
