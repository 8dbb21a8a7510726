"""Clients that lie about the public set: Cronus' claim is that up to a share of them hardly matters, while a mean goes their way."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch.nn.functional as F
from torch import Tensor

import fedkd
from fedkd.engine.trained import Trained
from fedkd.foundation.options import Index
from fedkd.knowledge import Package
from fedkd.knowledge.kinds.base import TrainedClient
from fedkd.knowledge.kinds.probabilities import Probabilities

Loss = Callable[[str, int], float]


@dataclass(frozen=True, kw_only=True)
class Lies(Probabilities):
    """Probabilities, of which the first clients together say that they are sure of the class after the one that they believe in."""

    liars: Index = 0
    """How many clients lie."""

    def extract(self, client: TrainedClient, ids: Tensor | None) -> Package:
        """Return the truth, or the lie."""
        said = super().extract(client, ids)
        assert isinstance(client, Trained)
        if client.client >= self.liars:
            return said
        wrong = (said.values.argmax(dim=-1) + 1) % client.num_outputs
        return Package(said.kind, {"values": F.one_hot(wrong, client.num_outputs).float()}, ids=said.ids)


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> Loss:
    """Give the test loss of the student that learns a fusion of ten clients, of whom some lie."""

    @functools.cache
    def run(fusion: str, liars: int) -> float:
        result = fedkd.run(
            "method=cronus",
            f"method.fusion={fusion}",
            f"method.knowledge.name={Lies.__module__}:{Lies.__qualname__}",
            f"method.knowledge.liars={liars}",
            "data=digits",
            "proxy.size=120",
            "partition=iid",
            "model.hidden=[32]",
            "clients=10",
            "rounds=2",
            "evaluate_every=2",
            "runtime=inline",
            "seed=1",
            output=tmp_path_factory.mktemp("lies") / "run",
        )
        assert result.summary["failures"] == 0
        return float(result.final["student/test/loss"])

    return run


def test_cronus_stays_near_the_clean_run_where_the_mean_drifts(loss: Loss) -> None:
    drift = {
        fusion: loss(fusion, 2) - loss(fusion, 0)
        for fusion in ("{name: cronus, outliers: 0.2}", "mean_probabilities")
    }
    robust, mean = drift.values()
    assert mean > 0.1
    assert abs(robust) < 0.25 * mean
