"""The clients that count in a round of a strategy whose server has their networks, and what they say together."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fedkd.aggregation.folding import Folding
from fedkd.aggregation.sums import Array, RunningMean
from fedkd.strategies._federated import Answer
from fedkd.strategies._replies import MeanMetrics


class Sent(NamedTuple):
    """What a client sent: its weights, and what it says about itself for the sake of the weighting."""

    weights: dict[str, Array]
    evidence: Mapping[str, Tensor]


class Heard(NamedTuple):
    """What a network says about the proxy samples: its outputs, the layers that were asked for, its score where that is wanted."""

    outputs: Tensor
    layers: Mapping[str, Tensor]
    score: float | None


class Ensemble:
    """The clients that count in a round: their mean weights by architecture, what they say together, their metrics.

    Args:
        folding: fuses what they say about the proxy samples.
    """

    def __init__(self, folding: Folding) -> None:
        self.folding, self.metrics = folding, MeanMetrics()
        self.means: dict[str, RunningMean] = {}
        self.layers: dict[str, RunningMean] = {}

    def add(self, answer: Answer[Sent], architecture: str, heard: Heard) -> None:
        """Count a client and what its network said."""
        said = answer.said
        self.folding.add(
            answer.client, heard.outputs, size=answer.size, score=heard.score, sent=said.evidence
        )
        self.means.setdefault(architecture, RunningMean()).add(said.weights, answer.size)
        if heard.layers:
            layers = {name: layer.numpy() for name, layer in heard.layers.items()}
            self.layers.setdefault(architecture, RunningMean()).add(layers, 1)
        self.metrics.add(answer.content)

    def layers_for(self, architecture: str) -> dict[str, Tensor]:
        """Return the mean of the clients' tapped layers: of those of this architecture, or of the first one that there is."""
        if not self.layers:
            return {}
        name = architecture if architecture in self.layers else min(self.layers)
        return tensors(self.layers[name].result())


def tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Return arrays as tensors in memory of their own."""
    return {name: torch.tensor(array) for name, array in arrays.items()}
