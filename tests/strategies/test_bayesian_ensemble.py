"""The server of FedBE: who teaches, what it is reduced to, and that its student's ends are averaged."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.aggregation.fusions.noisy_vote import NoisyVote
from fedkd.aggregation.privacy import gnmax_epsilon
from fedkd.aggregation.weightings.domain_classifier import DomainClassifier
from fedkd.data.federated import FederatedData
from fedkd.distillation import Distiller
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.models.logistic import Logistic
from fedkd.strategies.bayesian_ensemble import FedBE
from fedkd.strategies.ensemble_distillation import FedDF
from fedkd.training import Fit, Optimizer

GridSaying = Callable[..., Grid]
SIZES = (1, 3)


@pytest.fixture
def network(digits: FederatedData) -> nn.Module:
    return initial_network(Logistic(), digits, Streams(0), owner="server")


def say(client: int, content: RecordDict) -> RecordDict:
    sent = content.array_records["arrays"].to_torch_state_dict()
    moved = {name: weight + 0.1 * (client + 1) for name, weight in sent.items()}
    return RecordDict(
        {"arrays": ArrayRecord(moved), "metrics": MetricRecord({"num-examples": SIZES[client]})}
    )


def start(network: nn.Module) -> ArrayRecord:
    return ArrayRecord({name: weight.clone() for name, weight in network.state_dict().items()})


def test_without_steps_the_student_is_the_mean_by_size(
    network: nn.Module, digits: FederatedData, grid_saying: GridSaying, play: Any
) -> None:
    assert digits.proxy is not None
    first = start(network)
    strategy = FedBE(student=network, proxy=digits.proxy, distiller=Distiller(fit=Fit(epochs=0)))
    game = play(strategy, grid_saying(say, 2), first).round()
    for name, weight in game.arrays.to_torch_state_dict().items():
        expected = first.to_torch_state_dict()[name] + (0.1 * 1 + 0.2 * 3) / 4
        torch.testing.assert_close(weight, expected)
    assert strategy.teacher_weights() == pytest.approx({0: 0.5, 1: 0.5})


class Watched(FedBE):
    """Writes down what each teacher says, and what the student is to learn."""

    def _say(self, weights: dict[str, Tensor]) -> Tensor:
        self.said = [*getattr(self, "said", []), super()._say(weights)]
        return self.said[-1]

    def _distil(self, scores: Tensor, server_round: int) -> None:
        self.scores = scores
        super()._distil(scores, server_round)


@pytest.mark.parametrize("posterior", ["gaussian", "dirichlet"])
def test_clients_their_mean_and_those_who_are_drawn_teach(
    posterior: Any, network: nn.Module, digits: FederatedData, grid_saying: GridSaying, play: Any
) -> None:
    assert digits.proxy is not None
    strategy = Watched(
        student=network, proxy=digits.proxy, posterior=posterior, samples=3, fusion=MeanLogits()
    )
    play(strategy, grid_saying(say, 2), start(network)).round()
    said = strategy.said
    assert len(said) == 2 + 1 + 3
    torch.testing.assert_close(strategy.scores, torch.stack(said).mean(dim=0), atol=1e-4, rtol=1e-4)
    assert len({float(each.sum()) for each in said[3:]}) == 3


def test_the_ends_of_the_cycles_are_averaged(network: nn.Module, digits: FederatedData) -> None:
    assert digits.proxy is not None
    fit = Fit(epochs=1, batch_size=20, optimizer=Optimizer(lr=0.1))
    scores = torch.randn(len(digits.proxy), 10, generator=torch.Generator().manual_seed(0))
    strategy = FedBE(student=network, proxy=digits.proxy, cycles=2, distiller=Distiller(fit=fit))
    first, ends = start(network).to_torch_state_dict(), []
    for cycle in range(2):
        strategy.distiller.distil(
            network,
            digits.proxy.inputs,
            scores,
            task=strategy.task,
            generator=Streams(0).torch(f"distil/{cycle}", round=5),
        )
        ends.append({name: weight.clone() for name, weight in network.state_dict().items()})
    network.load_state_dict(first)
    strategy._distil(scores, 5)
    for name, weight in network.state_dict().items():
        torch.testing.assert_close(weight, (ends[0][name] + ends[1][name]) / 2)


def test_an_epsilon_is_recorded_only_where_each_client_has_one_vote(
    network: nn.Module, digits: FederatedData
) -> None:
    assert digits.proxy is not None
    drawn = FedBE(student=network, proxy=digits.proxy, fusion=NoisyVote(sigma=40.0))
    assert drawn.accounts(1) == {}
    voted = FedDF(students=network, proxy=digits.proxy, fusion=NoisyVote(sigma=40.0))
    expected = gnmax_epsilon(sigma=40.0, queries=2 * len(digits.proxy), delta=1e-5)
    assert voted.accounts(2) == {"epsilon": expected}
    assert FedDF(students=network, proxy=digits.proxy).accounts(2) == {}
    scored = FedDF(students=network, proxy=digits.proxy, weighting=DomainClassifier(epsilon=0.1))
    assert scored.accounts(1) == scored.accounts(2) == {"epsilon": 0.1}  # the noise is drawn once
