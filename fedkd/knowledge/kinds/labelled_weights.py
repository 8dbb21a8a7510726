"""Weights with the number of samples of each class behind them (FedGen: Zhu et al., 2021)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from fedkd.knowledge.kinds.base import TrainedClient
from fedkd.knowledge.kinds.weights import Weights
from fedkd.knowledge.package import Package


@dataclass(frozen=True, kw_only=True)
class LabelledWeights(Weights):
    """The network itself, and how many samples of each class it has learned from."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    def extract(self, client: TrainedClient, ids: Int[Tensor, " n"] | None) -> Package:
        """Return every array of the network by name, and counts [classes]."""
        del ids
        counts = torch.bincount(client.private_targets(), minlength=client.num_outputs)
        return Package("labelled_weights", dict(client.weights()), counts=counts)
