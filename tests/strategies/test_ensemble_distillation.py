from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.weightings.accuracy import Accuracy
from fedkd.aggregation.weightings.confidence import Confidence
from fedkd.aggregation.weightings.drop_worst import DropWorst
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.models.base import predict
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.strategies import FedDF
from fedkd.training import Fit, Optimizer

GridMaker = Callable[..., Grid]
X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
PROXY = Samples({"x": X}, torch.full((40,), -1), torch.arange(40))
STILL = Distiller(fit=Fit(epochs=0))
SIZES = {0: 1, 1: 2, 2: 4, 3: 6}
KINDS = {0: "flat", 1: "deep", 2: "flat", 3: "deep"}


def network(name: str, seed: int = 0) -> nn.Module:
    model = Logistic() if name == "flat" else MLP(hidden=(5,))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return model.network((3,), 2)


def students() -> dict[str, nn.Module]:
    return {"flat": network("flat"), "deep": network("deep")}


def weights_of(client: int, kind: str) -> dict[str, Tensor]:
    return dict(network(kind, seed=100 + client).state_dict())


def sending(client: int, content: RecordDict) -> RecordDict:
    del content
    weights = ArrayRecord(weights_of(client, KINDS[client]))
    return RecordDict({"arrays": weights, "metrics": MetricRecord({"num-examples": SIZES[client]})})


def start(strategy: FedDF) -> ArrayRecord:
    return ArrayRecord(next(iter(strategy.students.values())).state_dict())


@pytest.mark.parametrize("scattered", [None, 8])
def test_each_architecture_is_averaged_over_its_own_clients_by_their_samples(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    strategy = FedDF(students=students(), architecture_of=KINDS, proxy=PROXY, distiller=STILL)
    game = play(strategy, grid_saying(sending, 4, scattered=scattered), start(strategy)).round()
    for kind, (first, second), (one, other) in (("flat", (0, 2), (0.2, 0.8)), ("deep", (1, 3), (0.25, 0.75))):
        for name, mean in strategy.students[kind].state_dict().items():
            expected = one * weights_of(first, kind)[name] + other * weights_of(second, kind)[name]
            assert torch.allclose(mean, expected, atol=1e-6)
    reported = game.arrays.to_torch_state_dict()
    assert all(
        torch.equal(reported[name], weight) for name, weight in strategy.students["flat"].state_dict().items()
    )


def test_each_client_is_sent_the_weights_of_its_own_architecture(grid_saying: GridMaker, play: Any) -> None:
    strategy = FedDF(students=students(), architecture_of=KINDS, proxy=PROXY, distiller=STILL)
    game = play(strategy, grid_saying(sending, 4), start(strategy)).round()
    averages = {
        kind: {name: w.clone() for name, w in s.state_dict().items()} for kind, s in strategy.students.items()
    }
    for client, content in game.round().down.items():
        sent = content.array_records["arrays"].to_torch_state_dict()
        assert sent.keys() == averages[KINDS[client]].keys()
        assert all(torch.equal(sent[name], averages[KINDS[client]][name]) for name in sent)


@pytest.mark.parametrize("fusion", [None, MeanProbabilities()])
def test_every_average_comes_to_say_what_all_clients_together_say(
    grid_saying: GridMaker, play: Any, fusion: Any
) -> None:
    plan = Fit(epochs=150, batch_size=20, optimizer=Optimizer(name="adam", lr=0.02))
    strategy = FedDF(
        students=students(), architecture_of=KINDS, proxy=PROXY, fusion=fusion, distiller=Distiller(fit=plan)
    )
    play(strategy, grid_saying(sending, 4), start(strategy)).round()
    teachers = [network(KINDS[client], seed=100 + client) for client in range(4)]
    said = torch.stack([predict(teacher, PROXY.inputs) for teacher in teachers])
    mean = said.mean(0) if fusion is None else F.softmax(said, dim=-1).mean(0).log()
    for student in strategy.students.values():
        gap = F.softmax(predict(student, PROXY.inputs), dim=-1) - F.softmax(mean, dim=-1)
        assert gap.abs().max() < 0.06
    assert strategy.teacher_weights() == {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}


def test_clients_no_better_than_chance_on_validation_data_can_be_left_out(
    grid_saying: GridMaker, play: Any
) -> None:
    judged = Samples({"x": X}, (X[:, 0] > 0).long(), torch.arange(40))
    right = {"head.weight": torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]]), "head.bias": torch.zeros(2)}
    wrong = {name: -weight for name, weight in right.items()}

    def say(client: int, content: RecordDict) -> RecordDict:
        del content
        weights = ArrayRecord(right if client == 1 else wrong)
        return RecordDict({"arrays": weights, "metrics": MetricRecord({"num-examples": 5})})

    drop = DropWorst()
    strategy = FedDF(
        students=network("flat"), proxy=PROXY, distiller=STILL, validation=judged, weighting=drop
    )
    game = play(strategy, grid_saying(say, 3), start(strategy)).round()
    kept = game.arrays.to_torch_state_dict()
    assert all(torch.equal(kept[name], right[name]) for name in right)
    assert strategy.teacher_weights() == {1: 1.0}

    strategy = FedDF(
        students=network("flat"), proxy=PROXY, distiller=STILL, validation=judged, weighting=drop
    )
    game = play(strategy, grid_saying(lambda _, content: say(0, content), 3), start(strategy)).round()
    everyone_is_bad = game.arrays.to_torch_state_dict()
    assert all(torch.allclose(everyone_is_bad[name], wrong[name]) for name in wrong)


def test_networks_that_score_better_on_validation_data_can_count_more(
    grid_saying: GridMaker, play: Any
) -> None:
    judged = Samples({"x": X}, (X[:, 0] > 0).long(), torch.arange(40))
    strategy = FedDF(
        students=students(),
        architecture_of=KINDS,
        proxy=PROXY,
        distiller=STILL,
        validation=judged,
        weighting=Accuracy(),
    )
    play(strategy, grid_saying(sending, 4), start(strategy)).round()
    right = [
        float(
            (predict(network(KINDS[c], seed=100 + c), {"x": X}).argmax(-1) == judged.targets).float().mean()
        )
        for c in range(4)
    ]
    assert strategy.teacher_weights() == pytest.approx({c: right[c] / sum(right) for c in range(4)})


@pytest.mark.parametrize("weighting", [Accuracy(), Confidence()])
def test_a_weighting_that_needs_more_than_there_is_is_refused_at_once(weighting: Any) -> None:
    with pytest.raises(ValueError, match=f"{type(weighting).__name__} needs"):
        FedDF(students=students(), proxy=PROXY, weighting=weighting)


def test_weights_of_another_architecture_or_with_nan_are_named_and_left_out(
    grid_saying: GridMaker, play: Any
) -> None:
    def say(client: int, content: RecordDict) -> RecordDict:
        reply = sending(client, content)
        if client == 1:
            reply["arrays"] = ArrayRecord(weights_of(1, "flat"))
        if client == 2:
            reply["arrays"] = ArrayRecord(
                {name: w * float("nan") for name, w in weights_of(2, "flat").items()}
            )
        return reply

    strategy = FedDF(students=students(), architecture_of=KINDS, proxy=PROXY, distiller=STILL)
    game = play(strategy, grid_saying(say, 4), start(strategy)).round()
    assert [failure.client for failure in strategy.failures] == [1, 2]
    kept = game.arrays.to_torch_state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in weights_of(0, "flat").items())


def test_an_architecture_of_which_nobody_takes_part_keeps_its_weights(
    grid_saying: GridMaker, play: Any
) -> None:
    strategy = FedDF(
        students=students(), architecture_of=dict.fromkeys(range(4), "flat"), proxy=PROXY, distiller=STILL
    )

    def say(client: int, content: RecordDict) -> RecordDict:
        reply = sending(client, content)
        reply["arrays"] = ArrayRecord(weights_of(client, "flat"))
        return reply

    play(strategy, grid_saying(say, 4), start(strategy)).round()
    for name, weight in strategy.students["deep"].state_dict().items():
        assert torch.equal(weight, network("deep").state_dict()[name])


def test_a_strategy_that_is_restarted_goes_on_with_the_weights_of_every_architecture(
    grid_saying: GridMaker, play: Any
) -> None:
    plan = Distiller(fit=Fit(epochs=2))
    strategy, fresh = (
        FedDF(students=students(), architecture_of=KINDS, proxy=PROXY, distiller=plan) for _ in range(2)
    )
    game = play(strategy, grid_saying(sending, 4), start(strategy)).round()
    fresh.load_state({name: weight.clone() for name, weight in strategy.state().items()})
    again = play(fresh, grid_saying(sending, 4), game.arrays)
    again.rounds = 1
    game.round()
    again.round()
    for kind, student in strategy.students.items():
        for name, weight in student.state_dict().items():
            assert torch.equal(weight, fresh.students[kind].state_dict()[name])


@pytest.mark.parametrize("scattered", [None, 3])
def test_terms_on_layers_learn_from_the_mean_of_the_clients_layers_by_architecture(
    grid_saying: GridMaker, play: Any, scattered: int | None
) -> None:
    plan = Fit(epochs=150, batch_size=40, optimizer=Optimizer(name="adam", lr=0.02))
    term = {"name": "activation_boundary", "student_layer": "body", "teacher_layer": "body", "scale": 1.0}
    deep = {"deep": network("deep")}
    strategy = FedDF(
        students=deep,
        architecture_of=dict.fromkeys(range(4), "deep"),
        proxy=PROXY,
        distiller=Distiller(fit=plan, terms=(term,)),
    )

    def say(client: int, content: RecordDict) -> RecordDict:
        del content
        weights = ArrayRecord(weights_of(client, "deep"))
        return RecordDict({"arrays": weights, "metrics": MetricRecord({"num-examples": SIZES[client]})})

    play(strategy, grid_saying(say, 4, scattered=scattered), start(strategy)).round()
    bodies = [network("deep", seed=100 + client)(X).features for client in range(4)]
    mean = torch.stack(bodies).mean(0)
    learned = strategy.students["deep"](X).features
    agree = ((learned > 0) == (mean > 0)).float().mean()
    assert agree > 0.9
