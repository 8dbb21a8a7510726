"""Generations, assistants and fresh starts: which network each round trains, from which weights, and whom it learns from."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.fusions.mean_probabilities import MeanProbabilities
from fedkd.aggregation.weightings.uniform import Uniform
from fedkd.data.samples import Samples
from fedkd.distillation import Distiller
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models.base import Model, predict
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.strategies import OfflineDistillation, Sampling
from fedkd.strategies.base import ServerSide
from fedkd.strategies.offline_distillation import Teaching
from fedkd.tasks import Classification
from fedkd.training import Fit, Optimizer

GridMaker = Callable[..., Grid]
X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
PROXY = Samples({"x": X}, (X[:, 0] > 0).long(), torch.arange(20))
STUDENT = Logistic()
ASSISTANTS = ({"name": "mlp", "hidden": [6]}, {"name": "mlp", "hidden": [5]})


def built(model: Model, owner: str) -> nn.Module:
    with Streams(0).initialising(owner):
        return model.network((3,), 2)


def fresh(model: Model | None, server_round: int) -> nn.Module:
    return built(model or STUDENT, f"server/{server_round}")


def strategy(*, epochs: int = 0, **options: Any) -> OfflineDistillation:
    plan = Fit(epochs=epochs, batch_size=10, optimizer=Optimizer(name="adam", lr=0.05))
    side = ServerSide(
        streams=Streams(0),
        task=Classification(),
        num_outputs=2,
        sampling=Sampling(),
        students={"student": built(STUDENT, "server")},
        architecture_of={},
        proxy=PROXY,
        validation=PROXY,
        weighting=Uniform(),
        fusion=MeanProbabilities(),
        distiller=Distiller(fit=plan),
        codec=Float32(),
        fresh=fresh,
    )
    return Teaching(generations=True, **options).create(side)


def teaching(client: int, content: RecordDict) -> RecordDict:
    """Let a client send a network of its own, as large as the student."""
    del content
    weights = ArrayRecord(built(STUDENT, f"client/{client}").state_dict())
    return RecordDict({"arrays": weights, "metrics": MetricRecord({"num-examples": 4})})


def weights_of(game: Any, rounds: int) -> list[dict[str, Tensor]]:
    return [dict(game.round().arrays.to_torch_state_dict()) for _ in range(rounds)]


def shapes(weights: dict[str, Tensor]) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in weights.values()]


def test_each_generation_starts_from_weights_of_its_own(grid_saying: GridMaker, play: Any) -> None:
    """Without a step of the distiller a round ends with the weights that it began with."""
    first, second, third = weights_of(play(strategy(), grid_saying(teaching, 2)), 3)
    for one, other in ((first, second), (second, third), (first, third)):
        assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize("options", [{}, {"assistants": ASSISTANTS}])
def test_each_generation_learns_what_the_last_one_says_and_nothing_else(
    grid_saying: GridMaker, play: Any, options: dict[str, Any]
) -> None:
    """A fresh network that is distilled from what the last round's weights say ends with the same bytes."""
    server = strategy(epochs=2, **options)
    rounds = weights_of(play(server, grid_saying(teaching, 2)), 4)
    for number in (2, 3, 4):
        teacher, student = server.network_of(number - 1), server.network_of(number)
        teacher.load_state_dict(rounds[number - 2])
        server.distiller.distil(
            student,
            PROXY.inputs,
            predict(teacher, PROXY.inputs),
            task=Classification(),
            generator=Streams(0).torch("distil", round=number),
        )
        for name, weight in student.state_dict().items():
            assert torch.equal(rounds[number - 1][name], weight)


def test_assistants_learn_in_their_order_and_then_the_student(grid_saying: GridMaker, play: Any) -> None:
    server = strategy(assistants=ASSISTANTS)
    rounds = weights_of(play(server, grid_saying(teaching, 2)), 4)
    models = [MLP(hidden=(6,)), MLP(hidden=(5,)), STUDENT, STUDENT]
    assert [shapes(weights) for weights in rounds] == [
        shapes(dict(model.network((3,), 2).state_dict())) for model in models
    ]


def test_all_generations_together_say_the_mean_of_what_each_says(grid_saying: GridMaker, play: Any) -> None:
    server = strategy(ensemble=True)
    said = []
    for weights in weights_of(play(server, grid_saying(teaching, 2)), 3):
        network = built(STUDENT, "any")
        network.load_state_dict(weights)
        said.append(predict(network, PROXY.inputs).softmax(-1))
    together = predict(server.further()["generations"], PROXY.inputs)
    assert torch.allclose(together, torch.stack(said).mean(0).log(), atol=1e-6)
