import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.weightings.size import Size
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float16 import Float16
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import predict
from fedkd.models.logistic import Logistic
from fedkd.strategies import DSFL, CoDistillationStrategy, FedMD, Sampling
from fedkd.training import Fit, Optimizer

GridMaker = Callable[..., Grid]
IDS = torch.tensor([40, 7, 12])


def proxy() -> Samples:
    return Samples({"x": torch.eye(3)}, torch.tensor([0, 1, 0]), IDS)


def student() -> nn.Module:
    with Streams(0).initialising("test"):
        return Logistic().network((3,), 2)


def answer(values: Tensor, ids: Tensor | None = IDS, kind: str = "logits", size: int = 1) -> RecordDict:
    records = to_records(Package(kind, {"values": values}, ids=ids), Float32())
    return RecordDict({**records, "metrics": MetricRecord({"num-examples": size, "train-loss": 1.0})})


FIRST = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 4.0]])
SECOND = torch.tensor([[0.0, 2.0], [3.0, 1.0], [0.0, 0.0]])


def two(client: int, content: RecordDict) -> RecordDict:
    """Answer by hand; the second client speaks in another order, and has three times the samples."""
    del content
    return answer(FIRST) if client == 0 else answer(SECOND.flip(0), IDS.flip(0), size=3)


def start(strategy: CoDistillationStrategy) -> ArrayRecord:
    return ArrayRecord(strategy.student.state_dict())


def consensus(game: Any) -> Package:
    """Play two rounds and return what the second one begins with."""
    assert "arrays" not in game.round().down[0]
    return from_records(game.round().down[0])


@pytest.mark.parametrize("scattered", [None, 3])
def test_fedmd_sends_the_mean_of_the_logits_aligned_by_id(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    strategy = FedMD(student=student(), proxy=proxy())
    said = consensus(play(strategy, grid_saying(two, 2, scattered=scattered), start(strategy)))
    assert said.kind == "logits"
    assert said.ids is not None
    assert torch.equal(said.ids, IDS)
    assert said.values.tolist() == [[1.0, 1.0], [2.0, 1.0], [0.0, 2.0]]
    assert strategy.teacher_weights() == {0: 0.5, 1: 0.5}


def test_ds_fl_sends_the_softmax_of_the_mean_probability_over_a_tenth(
    grid_saying: GridMaker, play: Any
) -> None:
    probabilities = {0: torch.tensor([[0.9, 0.1]] * 3), 1: torch.tensor([[0.5, 0.5]] * 3)}
    strategy = DSFL(student=student(), proxy=proxy())
    grid = grid_saying(lambda client, _: answer(probabilities[client], kind="probabilities"), 2)
    said = consensus(play(strategy, grid, start(strategy)))
    assert said.kind == "probabilities"
    # the mean is (.7, .3); softmax(7, 3)
    expected = 1 / (1 + math.exp(-4))
    assert torch.allclose(said.values, torch.tensor([[expected, 1 - expected]] * 3))


def test_teachers_count_by_the_weighting_that_is_named(grid_saying: GridMaker, play: Any) -> None:
    strategy = FedMD(student=student(), proxy=proxy(), weighting=Size())
    said = consensus(play(strategy, grid_saying(two, 2), start(strategy)))
    assert torch.allclose(said.values, 0.25 * FIRST + 0.75 * SECOND)
    assert strategy.teacher_weights() == pytest.approx({0: 0.25, 1: 0.75})


def test_each_sample_is_fused_over_those_who_spoke_about_it_and_left_out_where_nobody_did(
    grid_saying: GridMaker, play: Any
) -> None:
    partial = {0: answer(FIRST[:1], IDS[:1]), 1: answer(SECOND[:2], IDS[:2])}
    strategy = DSFL(student=student(), proxy=proxy())
    game = play(strategy, grid_saying(lambda client, _: partial[client], 2), start(strategy))
    said = consensus(game)
    assert said.ids is not None
    assert said.ids.tolist() == [40, 7]
    mean = (F.softmax(FIRST[0], dim=-1) + F.softmax(SECOND[0], dim=-1)) / 2
    expected = torch.stack([mean, F.softmax(SECOND[1], dim=-1)])
    assert torch.allclose(said.values, F.softmax(expected / 0.1, dim=-1))
    assert all(weight.isfinite().all() for weight in game.arrays.to_torch_state_dict().values())


def test_the_student_learns_the_consensus_and_its_weights_go_on(grid_saying: GridMaker, play: Any) -> None:
    plan = Fit(epochs=200, batch_size=3, optimizer=Optimizer(name="adam", lr=0.05))
    strategy = FedMD(student=student(), proxy=proxy(), distiller=Distiller(fit=plan))
    game = play(strategy, grid_saying(two, 2), start(strategy)).round()
    learned = student()
    learned.load_state_dict(game.arrays.to_torch_state_dict())
    target = F.softmax((FIRST + SECOND) / 2, dim=-1)
    assert torch.allclose(F.softmax(predict(learned, proxy().inputs), dim=-1), target, atol=0.02)


def test_the_word_of_the_student_can_go_down_in_place_of_the_consensus(
    grid_saying: GridMaker, play: Any
) -> None:
    strategy = CoDistillationStrategy(student=student(), proxy=proxy(), send="student")
    said = consensus(play(strategy, grid_saying(two, 2), start(strategy)))
    assert said.kind == "logits"
    assert torch.equal(said.values, predict(student(), proxy().inputs))


def test_the_consensus_goes_down_under_the_codec_that_is_named(grid_saying: GridMaker, play: Any) -> None:
    strategy = FedMD(student=student(), proxy=proxy(), codec=Float16())
    game = play(strategy, grid_saying(two, 2), start(strategy)).round().round()
    assert game.down[0].config_records["about"]["codec"] == "float16"
    assert game.down[0].array_records["arrays"]["values"].dtype == "float16"


def test_a_round_asks_about_samples_of_its_own_and_only_about_them(grid_saying: GridMaker, play: Any) -> None:
    def about_what_is_asked(client: int, content: RecordDict) -> RecordDict:
        del client
        ids = torch.from_numpy(content.array_records["ask"]["ids"].numpy().copy())
        return answer(torch.zeros(len(ids), 2), ids)

    strategy = FedMD(student=student(), proxy=proxy(), samples_per_round=2, sampling=Sampling(seed=1))
    game = play(strategy, grid_saying(about_what_is_asked, 2), start(strategy))
    asked = [tuple(game.round().down[1].array_records["ask"]["ids"].numpy().tolist()) for _ in range(8)]
    assert all(len(set(ids)) == 2 and set(ids) <= set(IDS.tolist()) for ids in asked)
    assert len(set(asked)) > 1
    assert game.strategy.failures == []


BAD = {
    0: answer(FIRST),
    1: answer(torch.full((3, 2), float("nan"))),
    2: answer(torch.zeros(3, 5)),
    3: answer(FIRST, None),
    4: answer(FIRST, torch.tensor([40, 7, 99])),
    5: answer(FIRST, torch.tensor([40, 7, 7])),
    6: answer(FIRST[:0], IDS[:0]),
    7: answer(torch.zeros(2), IDS[:2]),
    8: answer(FIRST, kind="class_means"),
    9: RecordDict({"metrics": MetricRecord({"num-examples": 5})}),
    10: answer(FIRST, IDS.int()),
}
REASONS = {
    1: "not finite",
    2: "of shape [3, 5], expected [3, 2]",
    3: "without ids",
    4: "about 1 samples that were not asked for",
    5: "3 answers about 2 samples",
    6: "0 answers about 0 samples",
    8: "sent class_means",
    9: "sent no knowledge",
}


def test_answers_that_cannot_be_used_are_named_and_left_out(grid_saying: GridMaker, play: Any) -> None:
    strategy = FedMD(student=student(), proxy=proxy())
    game = play(strategy, grid_saying(lambda client, _: BAD[client], len(BAD)), start(strategy)).round()
    reasons = {failure.client: failure.reason for failure in strategy.failures}
    assert reasons.keys() == REASONS.keys() | {7}
    assert all(REASONS[client] in reasons[client] for client in REASONS)
    assert torch.equal(from_records(game.round().down[5]).values, FIRST)


def test_a_strategy_that_is_restarted_sends_what_it_would_have_sent(
    grid_saying: GridMaker, play: Any
) -> None:
    for maker in (FedMD, DSFL):
        strategy, fresh = (maker(student=student(), proxy=proxy()) for _ in range(2))
        assert strategy.state() == {}
        game = play(strategy, grid_saying(two, 2), start(strategy)).round()
        fresh.load_state(strategy.state())
        again = play(fresh, grid_saying(two, 2), game.arrays)
        again.rounds = 1
        expected, resumed = (from_records(one.round().down[0]) for one in (game, again))
        assert expected.kind == resumed.kind
        assert torch.equal(expected.values, resumed.values)


def test_a_distiller_that_waits_for_a_better_score_is_not_stopped_where_there_is_no_validation_data(
    grid_saying: GridMaker, play: Any
) -> None:
    plan = Fit(epochs=6, batch_size=3)
    ends = []
    for patience in (None, 1):
        strategy = FedMD(student=student(), proxy=proxy(), distiller=Distiller(fit=plan, patience=patience))
        game = play(strategy, grid_saying(two, 2), start(strategy)).round()
        ends.append(game.arrays.to_torch_state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
