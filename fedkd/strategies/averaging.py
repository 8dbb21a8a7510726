"""Averaging of weights: Flower's FedAvg, with clients sampled by our named stream.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (AISTATS 2017), Algorithm 1:

    w = sum_k (n_k / n) w_k     n_k samples of client k, n of all clients of the round

The mean is Flower's up to rounding, but of all replies only a sum is held, and their order does not matter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import flwr.serverapp.strategy as flower
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedkd.aggregation.sums import RunningMean
from fedkd.knowledge import BadPackage, Package, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.package import WEIGHTS
from fedkd.strategies._federated import Answer, Federated, Sampling
from fedkd.strategies._replies import MeanMetrics, Shapes, read_weights, shapes_of
from fedkd.strategies.base import ServerSide, ServerStrategy


class FedAvg(Federated, flower.FedAvg):
    """Flower's FedAvg over usable answers, taken one by one.

    Args:
        sampling: who takes part in a round.
    """

    def __init__(self, sampling: Sampling | None = None) -> None:
        Federated.__init__(self, sampling)
        flower.FedAvg.__init__(self)
        self._shapes: Shapes = {}

    def summary(self) -> None:
        """Say nothing: fedkd reports runs in its own way."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global weights to the round's clients."""
        self._shapes = shapes_of(arrays)
        package = self.beside(arrays)
        if package is None:
            return self.broadcast(server_round, config, grid, {self.arrayrecord_key: arrays})
        return self.broadcast(server_round, config, grid, {WEIGHTS: arrays, **to_records(package, Float32())})

    def beside(self, arrays: ArrayRecord) -> Package | None:
        """Return the knowledge that goes down beside the global weights of a round; none by default."""
        del arrays
        return None

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the weights, and of the metrics, by number of samples."""
        del server_round
        mean, metrics = RunningMean(), MeanMetrics()
        for answer in self.sift(replies, self._read):
            self.note(answer)
            mean.add({name: answer.said[name] for name in self._shapes}, answer.size)
            metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        arrays = {name: Array(array) for name, array in mean.result().items()}
        return ArrayRecord(arrays) if arrays else None, metrics.result()

    def note(self, answer: Answer[dict[str, npt.NDArray[Any]]]) -> None:
        """Look at an answer, without writing to its weights, before they are added to the mean; nothing by default."""

    def judged(self, client: int, arrays: ArrayRecord) -> Mapping[str, ArrayRecord]:
        """Return the global weights."""
        del client
        return {self.arrayrecord_key: arrays}

    def _read(self, message: Message) -> dict[str, npt.NDArray[Any]]:
        kinds = [type(record) for record in message.content.values()]
        # Flower averages whatever a reply holds, and gives up the round where one reply holds another number of records.
        if kinds.count(ArrayRecord) > 1 or kinds.count(MetricRecord) > 1:
            raise BadPackage("sent more than one record of arrays or metrics")
        return read_weights(message.content, self._shapes, copied=False)


@dataclass(frozen=True, kw_only=True)
class Averaging(ServerStrategy):
    """Weights are averaged by the number of samples behind them."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_float32: ClassVar[bool] = True
    mixed_models: ClassVar[bool] = False

    def create(self, side: ServerSide) -> FedAvg:
        """Return the Flower strategy."""
        return FedAvg(side.sampling)
