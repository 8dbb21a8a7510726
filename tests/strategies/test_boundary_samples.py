"""The server of DENSE: its losses by hand, who receives a gradient, and rounds."""

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
from fedkd.strategies._generated import Batch
from fedkd.strategies.boundary_samples import (
    DENSE,
    BoundarySamples,
    _Search,
    disagreement,
    divergence,
    ensemble,
)
from fedkd.training import Optimizer

GridSaying = Callable[..., Grid]
LOG3 = math.log(3.0)
SURE = torch.tensor([[LOG3, 0.0]], dtype=torch.float64)
"""Logits of the probabilities 3/4 and 1/4."""
OTHER = torch.tensor([[0.0, LOG3]], dtype=torch.float64)
EVEN = torch.zeros(1, 2, dtype=torch.float64)


def test_the_divergence_is_from_the_ensemble_to_the_student() -> None:
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(divergence(EVEN, SURE)) == pytest.approx(expected, abs=1e-12)
    other_way = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(divergence(SURE, EVEN)) == pytest.approx(other_way, abs=1e-12)


def test_only_samples_of_which_both_name_other_classes_disagree_and_all_are_counted() -> None:
    # The first class is named by both, the second sample is named differently: 0.75 log 3 + 0.25 log 1/3.
    apart = 0.75 * LOG3 - 0.25 * LOG3
    student, teacher = torch.cat([2 * SURE, OTHER, SURE]), torch.cat([SURE, SURE, SURE])
    assert float(disagreement(student, teacher)) == pytest.approx(apart / 3, abs=1e-12)
    assert float(disagreement(2 * SURE, SURE)) == 0.0 < float(divergence(2 * SURE, SURE))


def linear() -> nn.Module:
    """A linear network of three inputs and three classes."""
    return nn.Sequential(OrderedDict(head=nn.Linear(3, 3)))


class Deep(nn.Module):
    """Another architecture with the same inputs and classes, and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.head(self.norm(x))
        return said


def diagonal(numbers: list[float]) -> dict[str, Tensor]:
    return {"head.weight": torch.diag(torch.tensor(numbers)), "head.bias": torch.zeros(3)}


def deep(numbers: list[float], mean: float = 0.0, variance: float = 1.0) -> dict[str, Tensor]:
    return {
        **diagonal(numbers),
        "norm.weight": torch.ones(3),
        "norm.bias": torch.zeros(3),
        "norm.running_mean": torch.full((3,), mean),
        "norm.running_var": torch.full((3,), variance),
        "norm.num_batches_tracked": torch.tensor(1),
    }


def test_the_ensemble_says_the_mean_of_the_logits_and_what_is_unusual_for_batchnorm() -> None:
    made = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])  # means 2, 0, 0; variances 1, 0, 0
    teachers = [
        (linear().eval(), diagonal([3.0, 1.0, 1.0])),
        (Deep().eval(), deep([2.0, 1.0, 1.0], mean=1.0, variance=1.0)),
    ]
    said, unusual = ensemble(teachers, made)
    torch.testing.assert_close(
        said[:, 0], torch.tensor([(3.0 + 0.0) / 2, (9.0 + 4.0) / 2]), rtol=1e-4, atol=1e-4
    )
    # |(2, 0, 0) - (1, 1, 1)| + |(1, 0, 0) - (1, 1, 1)|, over two clients of which one has such a layer.
    assert float(unusual) == pytest.approx((math.sqrt(3) + math.sqrt(2)) / 2, abs=1e-5)
    assert float(ensemble(teachers[:1], made)[1]) == 0.0


def test_probabilities_can_be_averaged_in_place_of_logits() -> None:
    made = torch.tensor([[1.0, 0.0, 0.0]])
    teachers = [(linear().eval(), diagonal([number, 0.0, 0.0])) for number in (LOG3, -50.0)]
    # softmax of (log 3, 0, 0) is (3/5, 1/5, 1/5), of (-50, 0, 0) it is (0, 1/2, 1/2).
    said = ensemble(teachers, made, "probabilities")[0]
    torch.testing.assert_close(said.exp(), torch.tensor([[0.3, 0.35, 0.35]]))
    torch.testing.assert_close(ensemble(teachers, made)[0][0, 0], torch.tensor((LOG3 - 50.0) / 2))


def test_the_student_learns_on_samples_of_all_batches_so_far() -> None:
    strategy = server()
    game, draw = search(strategy), Streams(0).torch("lesson")
    for number in range(3):
        same = torch.full((8, 3), float(number))
        batch_of = Batch(torch.zeros(8, 4), torch.zeros(8, dtype=torch.long), same)
        seen = [game.lesson(batch_of, 10 * same, draw) for _ in range(20)]
        drawn = torch.cat([one.made[:, 0] for one, _ in seen])
        assert set(drawn.tolist()) == {float(earlier) for earlier in range(number + 1)}
        assert all(torch.equal(said, 10 * one.made) for one, said in seen)


def test_networks_are_left_without_hooks_and_as_they_were() -> None:
    network = Deep().eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ensemble([(network, deep([1.0, 1.0, 1.0], mean=5.0))], torch.rand(4, 3))
    assert not network.norm._forward_pre_hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def server(**changed: Any) -> DENSE:
    with Streams(0).initialising("generator"):
        generator = SampleGenerator((3,), classes=3, noise=4, hidden=16, values="unit")
    usual = {"batches": 5, "optimizer": Optimizer(name="adam", lr=0.01), "student": Optimizer(lr=0.5)}
    return DENSE(
        student=linear(),
        networks={"linear": linear(), "deep": Deep()},
        generator=generator,
        classes=3,
        architecture_of={0: "linear", 1: "deep"},
        options=BoundarySamples(**(usual | changed)),
    )


def batch(strategy: DENSE) -> Batch:
    draw = Streams(0).torch("batch")
    noise, labels = torch.randn(32, 4, generator=draw), torch.arange(32) % 3
    return Batch(noise, labels, strategy.generator(noise, labels))


TEACHERS = {0: diagonal([6.0, 6.0, -6.0]), 1: deep([6.0, 6.0, 6.0])}


def search(strategy: DENSE) -> _Search:
    networks = strategy._networks
    return _Search(strategy, [(networks["linear"], TEACHERS[0]), (networks["deep"], TEACHERS[1])])


def test_the_generator_minimises_fidelity_and_statistics_minus_disagreement() -> None:
    strategy = server(statistics=0.2, boundary=0.5)
    game, made = search(strategy), batch(strategy)
    said, unusual = ensemble(game.teachers, made.made)
    fidelity = -(said.log_softmax(dim=-1)[torch.arange(32), made.labels]).mean()
    apart = disagreement(strategy.student(made.made), said)
    assert float(apart.detach()) > 0
    expected = fidelity + 0.2 * unusual - 0.5 * apart
    torch.testing.assert_close(game.makers_loss(made), expected)


def test_each_loss_has_a_gradient_for_its_own_network() -> None:
    strategy = server()
    game, made = search(strategy), batch(strategy)
    own = torch.autograd.grad(game.makers_loss(made), list(strategy.generator.parameters()))
    assert all(bool(gradient.any()) for gradient in own)
    with torch.no_grad():
        still = batch(strategy)
        answers = game.answers(still)
    assert not answers.requires_grad
    taught = torch.autograd.grad(game.learners_loss(still, answers), list(strategy.student.parameters()))
    assert all(bool(gradient.any()) for gradient in taught)


@pytest.mark.parametrize("moves", ["generator", "student"])
def test_a_step_of_one_leaves_the_other_alone(moves: str, grid_saying: GridSaying, play: Any) -> None:
    still = Optimizer(lr=1e-30)
    strategy = server(**{"student": still} if moves == "generator" else {"optimizer": still})
    before = {
        name: {key: weight.clone() for key, weight in network.state_dict().items()}
        for name, network in (("generator", strategy.generator), ("student", strategy.student))
    }
    play(strategy, grid_saying(say, 2), ArrayRecord(before["student"])).round()
    after = {"generator": strategy.generator.state_dict(), "student": strategy.student.state_dict()}
    moved = {
        name
        for name, weights in before.items()
        if any(not torch.equal(weight, after[name][key]) for key, weight in weights.items())
    }
    assert moved == {moves}


def say(client: int, _: RecordDict) -> RecordDict:
    records = to_records(Package("weights", TEACHERS[client]), Float32())
    return RecordDict({**records, "metrics": MetricRecord({"num-examples": 8})})


def start() -> ArrayRecord:
    return ArrayRecord(diagonal([0.0, 0.0, 0.0]))


def test_the_student_comes_to_say_what_networks_of_two_architectures_say(
    grid_saying: GridSaying, play: Any
) -> None:
    strategy = server(batches=15)
    game = play(strategy, grid_saying(say, 2), start()).round()
    assert set(game.down[0]) == {"config"}
    assert set(game.arrays.to_torch_state_dict()) == {"head.weight", "head.bias"}
    with torch.no_grad():
        made = batch(strategy).made
        said = ensemble(search(strategy).teachers, made)[0]
        before, after = (
            divergence(learned, said).mean() for learned in (torch.zeros(32, 3), strategy.student(made))
        )
    assert float(after) < 0.7 * float(before)


def test_the_generator_finds_samples_on_which_both_disagree(grid_saying: GridSaying, play: Any) -> None:
    ends = []
    for boundary in (0.0, 5.0):
        strategy = server(batches=10, boundary=boundary, statistics=0.0, student=Optimizer(lr=1e-12))
        play(strategy, grid_saying(say, 2), ArrayRecord(diagonal([1.0, -1.0, 0.5]))).round()
        with torch.no_grad():
            made = batch(strategy).made
            said = ensemble(search(strategy).teachers, made)[0]
            ends.append(float(disagreement(strategy.student(made), said)))
    assert ends[1] > 1.1 * ends[0]


def test_after_a_restart_the_next_round_is_the_same(grid_saying: GridSaying, play: Any) -> None:
    grid = grid_saying(say, 2)
    game = play(server(), grid, start()).round()
    again = server()
    again.load_state({name: tensor.clone() for name, tensor in game.strategy.state().items()})
    other = play(again, grid, game.arrays)
    other.rounds = 1
    one, two = game.round().arrays.to_torch_state_dict(), other.round().arrays.to_torch_state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_network_of_another_architecture_than_the_clients_is_refused(
    grid_saying: GridSaying, play: Any
) -> None:
    game = play(server(), grid_saying(lambda client, content: say(1 - client, content), 2), start())
    with pytest.raises(Exception, match="only 0 clients gave a usable answer"):
        game.round()
    assert [failure.client for failure in game.strategy.failures] == [0, 1]
