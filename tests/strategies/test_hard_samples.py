"""The server of FedFTG: its losses by hand, the contest of generator and average, and rounds."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models._generator import SampleGenerator
from fedkd.strategies._labelled import draw_labels, shares_of
from fedkd.strategies.hard_samples import FedFTG, HardSamples, discrepancy, fidelity
from fedkd.training import Optimizer

GridSaying = Callable[..., Grid]
LOG3 = math.log(3.0)
SURE = torch.tensor([[LOG3, 0.0]], dtype=torch.float64)
"""Logits of the probabilities 3/4 and 1/4."""
EVEN = torch.zeros(1, 2, dtype=torch.float64)
COUNTS = torch.tensor([[3, 0, 0], [1, 2, 0]])


def test_clients_count_by_their_share_of_the_class_and_classes_by_theirs_of_all() -> None:
    assert shares_of(COUNTS).tolist() == [[0.75, 0.0, 0.0], [0.25, 1.0, 0.0]]
    labels = draw_labels(COUNTS, 6000, Streams(0).torch("labels"))
    drawn = labels.bincount(minlength=3) / 6000
    assert drawn.tolist() == pytest.approx([4 / 6, 2 / 6, 0.0], abs=0.03)
    assert int((labels == 2).sum()) == 0


def test_the_discrepancy_is_the_weighted_divergence_of_clients_from_the_average() -> None:
    teachers, weights = torch.stack([SURE, EVEN]), torch.tensor([[0.6], [0.4]], dtype=torch.float64)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(discrepancy(EVEN, teachers, weights)) == pytest.approx(0.6 * divergence, abs=1e-8)
    # Of the logits (log 3, 0) and (0, 0) the mean absolute difference is log 3 / 2.
    assert float(discrepancy(EVEN, teachers, weights, "logits")) == pytest.approx(0.6 * LOG3 / 2, abs=1e-8)
    assert float(discrepancy(SURE, torch.stack([SURE]), torch.ones(1, 1).double())) == pytest.approx(0.0)


def test_fidelity_is_the_weighted_cross_entropy_of_clients_with_the_label() -> None:
    teachers, weights = torch.stack([SURE, EVEN]), torch.tensor([[0.6], [0.4]], dtype=torch.float64)
    expected = 0.6 * math.log(4 / 3) + 0.4 * math.log(2)
    assert float(fidelity(teachers, torch.tensor([0]), weights)) == pytest.approx(expected, abs=1e-8)


def test_the_average_learns_from_single_clients_as_it_would_from_the_mean_of_their_probabilities() -> None:
    draw = Streams(0).torch("logits")
    teachers = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)
    weights = torch.rand(3, 4, generator=draw, dtype=torch.float64)
    weights = weights / weights.sum(dim=0)
    student = torch.randn(4, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(discrepancy(student, teachers, weights), student)
    mean = (weights[..., None] * teachers.softmax(dim=-1)).sum(dim=0)
    torch.testing.assert_close(found, (student.softmax(dim=-1) - mean).detach() / 4)


@pytest.mark.parametrize("measure", ["divergence", "logits"])
def test_extreme_logits_give_finite_losses_and_gradients(measure: Any) -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    teachers, weights = torch.tensor([[[-1e4, 1e4]]]), torch.ones(1, 1)
    loss = discrepancy(student, teachers, weights, measure) + fidelity(teachers, torch.tensor([0]), weights)
    (gradient,) = torch.autograd.grad(loss, student)
    assert bool(loss.isfinite())
    assert bool(gradient.isfinite().all())


def linear() -> nn.Module:
    """A linear network of three inputs and three classes."""
    return nn.Sequential(OrderedDict(head=nn.Linear(3, 3)))


def weights(diagonal: list[float]) -> dict[str, Tensor]:
    return {"head.weight": torch.diag(torch.tensor(diagonal)), "head.bias": torch.zeros(3)}


def reply(sent: dict[str, Tensor], counts: list[int]) -> RecordDict:
    package = Package("labelled_weights", sent, counts=torch.tensor(counts))
    return RecordDict(
        {**to_records(package, Float32()), "metrics": MetricRecord({"num-examples": sum(counts)})}
    )


def server(**changed: Any) -> FedFTG:
    with Streams(0).initialising("generator"):
        generator = SampleGenerator((3,), classes=3, noise=4, hidden=16, values="unit")
    options = HardSamples(**({"batches": 5, "student": Optimizer(lr=0.5)} | changed))
    return FedFTG(student=linear(), generator=generator, classes=3, options=options)


EXPERTS = {0: ([6.0, -6.0, 0.0], [8, 0, 0]), 1: ([-6.0, 6.0, 0.0], [0, 8, 0])}
"""Two clients who know one class each; their mean says the same of everything."""


def say(client: int, _: RecordDict) -> RecordDict:
    return reply(weights(EXPERTS[client][0]), EXPERTS[client][1])


def start() -> ArrayRecord:
    return ArrayRecord(weights([0.0, 0.0, 0.0]))


def test_the_average_comes_to_say_what_the_client_of_each_class_says(
    grid_saying: GridSaying, play: Any
) -> None:
    after = play(server(batches=40), grid_saying(say, 2), start()).round()
    learned = after.arrays.to_torch_state_dict()["head.weight"]
    assert set(after.arrays.to_torch_state_dict()) == {"head.weight", "head.bias"}
    assert set(after.down[0]) == {"arrays", "config"}
    still = play(
        server(student=Optimizer(lr=1e-12)), grid_saying(say, 2), start()
    ).round()  # without a step it is FedAvg
    torch.testing.assert_close(still.arrays.to_torch_state_dict()["head.weight"], torch.zeros(3, 3))
    assert learned.T[:2].argmax(dim=1).tolist() == [0, 1]  # of an input of the one class, and of the other
    noise, labels = torch.randn(64, 4, generator=Streams(0).torch("noise")), torch.arange(64) % 2
    with torch.no_grad():
        made = after.strategy.generator(noise, labels)
        said = torch.stack([made @ torch.diag(torch.tensor(EXPERTS[client][0])) for client in (0, 1)])
        share = shares_of(torch.tensor([EXPERTS[client][1] for client in (0, 1)]))[:, labels]
        before = discrepancy(torch.zeros(64, 3), said, share)
        assert float(discrepancy(after.strategy.student(made), said, share)) < 0.8 * float(before)


@pytest.mark.parametrize("measure", ["divergence", "logits"])
def test_the_generator_finds_samples_on_which_the_average_differs_more(
    measure: Any, grid_saying: GridSaying, play: Any
) -> None:
    game = play(
        server(
            fidelity=0.0,
            diversity=0.0,
            generator_steps=10,
            student=Optimizer(lr=1e-12),
            discrepancy=measure,
        ),
        grid_saying(say, 2),
        start(),
    )
    noise, labels = torch.randn(64, 4, generator=Streams(0).torch("noise")), torch.arange(64) % 2
    share = shares_of(torch.tensor([EXPERTS[client][1] for client in (0, 1)]))[:, labels]

    def hardness() -> float:
        with torch.no_grad():
            made = game.strategy.generator(noise, labels)
        said = torch.stack([made @ torch.diag(torch.tensor(EXPERTS[client][0])) for client in (0, 1)])
        return float(discrepancy(torch.zeros(64, 3), said, share, measure))

    before = hardness()
    game.round()
    assert hardness() > 1.1 * before


def test_after_a_restart_the_next_round_is_the_same(grid_saying: GridSaying, play: Any) -> None:
    grid = grid_saying(say, 2)
    game = play(server(), grid, start()).round()
    again = server()
    again.load_state({name: tensor.clone() for name, tensor in game.strategy.state().items()})
    other = play(again, grid, game.arrays)
    other.rounds = 1
    one, two = game.round().arrays.to_torch_state_dict(), other.round().arrays.to_torch_state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    states = game.strategy.state(), other.strategy.state()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_counts_that_say_nothing_are_refused(grid_saying: GridSaying, play: Any) -> None:
    def sometimes(client: int, content: RecordDict) -> RecordDict:
        answer = reply(weights([1.0, 1.0, 1.0]), [0, 0, 0]) if client == 0 else say(client, content)
        answer["metrics"] = MetricRecord({"num-examples": 8})
        return answer

    game = play(server(), grid_saying(sometimes, 2), start()).round()
    assert [failure.client for failure in game.strategy.failures] == [0]
