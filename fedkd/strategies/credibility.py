"""Averaging of weights, with word of how far the global network can be believed about each class (FedCAD, FedSSD).

He et al., "Class-Wise Adaptive Self Distillation for Federated Learning on Non-IID Data" (AAAI 2022); He et al., "Learning
Critically: Selective Self Distillation in Federated Learning on Non-IID Data" (IEEE Transactions on Big Data, 2022): before each round
the server tries the global network on a small labelled set of its own, and sends one number for each class beside the weights.

    w = sum_k (n_k / n) w_k,   down: w and a_c for each class c
    FedCAD: a_c = the mean probability of c over the samples of c
    FedSSD: a_c = A_cc (1 - max_(j != c) A_jc),   A_jc the share of the samples of j that are taken for c

Here that set is the validation data, which choose already when a distiller stops; test data stay unseen.
"""

from dataclasses import dataclass
from typing import ClassVar

from flwr.app import ArrayRecord
from torch import nn

from fedkd.aggregation.credibility import Measure, credibility
from fedkd.data.samples import Samples
from fedkd.knowledge import Package
from fedkd.models.base import predict
from fedkd.strategies._federated import Sampling
from fedkd.strategies.averaging import Averaging, FedAvg
from fedkd.strategies.base import ServerSide


class FedCredible(FedAvg):
    """FedAvg that says how credible its network is about each class.

    Args:
        network: of the architecture whose weights cross.
        auxiliary: labelled samples of the server's own.
        num_classes: number of classes, C.
        measure: how credibility is measured.
        sampling: who takes part in a round.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        auxiliary: Samples,
        num_classes: int,
        measure: Measure = "confidence",
        sampling: Sampling | None = None,
    ) -> None:
        super().__init__(sampling)
        self.network, self.auxiliary = network, auxiliary
        self.num_classes, self.measure = num_classes, measure

    def beside(self, arrays: ArrayRecord) -> Package:
        """Return the credibility of the network that goes down, as [classes, 1]."""
        self.network.load_state_dict(arrays.to_torch_state_dict())
        outputs = predict(self.network, self.auxiliary.inputs)
        found = credibility(outputs, self.auxiliary.targets, classes=self.num_classes, measure=self.measure)
        return Package("credibility", {"values": found[:, None]})


@dataclass(frozen=True, kw_only=True)
class Credibility(Averaging):
    """Weights are averaged; how far they can be believed about each class goes down with them."""

    measure: Measure = "confidence"
    """By the mean probability of the true class (FedCAD), or by how often it is found and no other is taken for it (FedSSD)."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    def create(self, side: ServerSide) -> FedCredible:
        """Return the Flower strategy."""
        return FedCredible(
            network=next(iter(side.students.values())),
            auxiliary=side.validation,
            num_classes=side.num_outputs,
            measure=self.measure,
            sampling=side.sampling,
        )

    def sent_beside(self, network: nn.Module, num_outputs: int) -> tuple[int, int]:
        """Return 4 bytes for each class."""
        del network
        return 4 * num_outputs, 4 * num_outputs
