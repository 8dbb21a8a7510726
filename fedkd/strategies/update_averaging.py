"""Averaging of updates: clients send what training has changed of the weights, in any codec, and are sent what has changed since.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (AISTATS 2017), with updates in place of weights, as in
Konecny et al., "Federated Learning: Strategies for Improving Communication Efficiency" (2016). C is a codec, w_t are the weights of round t:

    w_(t+1) = w_t + C_down( sum_k (n_k / n) C_up(w_k - w_t) )     n_k samples of client k, n of all clients of the round

What goes down is C_down(...), to clients that took part in the round before; they hold w_t, to the bit, and add it. Others, and all in the
first round, are sent the whole weights. So do the authors of FedKD (Wu et al., 2022), whose codec is `low_rank` in both directions. What a
codec loses is not made up for later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedkd.aggregation.sums import RunningMean
from fedkd.engine.mail import HOLD
from fedkd.knowledge import BadPackage, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.updates import UPDATES, updated
from fedkd.knowledge.package import WEIGHTS
from fedkd.strategies._ensemble import tensors
from fedkd.strategies._federated import Sampling
from fedkd.strategies._replies import MeanMetrics
from fedkd.strategies.averaging import FedAvg
from fedkd.strategies.base import ServerSide, ServerStrategy

_HOLDERS, _MEAN = "holders", "mean"
"""Names in the strategy's state: the clients that hold the weights of the last round, and the mean update of it."""


class FedAvgOfUpdates(FedAvg):
    """FedAvg whose weights cross as updates under codecs.

    Args:
        codec: how an update goes down; how one comes up is known from its message.
        sampling: who takes part in a round.
    """

    def __init__(self, *, codec: Codec | None = None, sampling: Sampling | None = None) -> None:
        super().__init__(sampling)
        self.codec = codec or Float32()
        self._holders: frozenset[int] = frozenset()
        self._mean: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send each client the weights, or what has changed of those that it holds."""
        self.failures = []
        self._weights = dict(arrays.to_torch_state_dict())
        options = ConfigRecord({**config, "server-round": server_round, HOLD: True})
        whole = RecordDict({WEIGHTS: arrays, "config": options})
        change = RecordDict({**self._change(), "config": options}) if self._holders else whole
        clients = self.participants(server_round, grid)
        contents = {client: change if client in self._holders else whole for client in clients}
        return self.messages(contents, MessageType.TRAIN)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the mean update, as its codec leaves it, to the weights; return them, and the mean of the metrics."""
        del server_round
        mean, metrics = RunningMean(), MeanMetrics()
        for answer in self.sift(replies, self._update):
            mean.add({name: update.numpy() for name, update in answer.said.items()}, answer.size)
            metrics.add(answer.content)
            del answer  # else it would be held until the next one is there
        self._mean, self._holders = tensors(mean.result()), frozenset(self._usable)
        if not self._mean:
            return None, metrics.result()
        change = from_records(RecordDict({**self._change()}))
        return ArrayRecord(updated(self._weights, change.arrays)), metrics.result()

    def state(self) -> dict[str, Tensor]:
        """Return who holds the weights of the last round, and its mean update, before its codec."""
        mean = {f"{_MEAN}/{name}": update for name, update in self._mean.items()}
        return {_HOLDERS: torch.tensor(sorted(self._holders), dtype=torch.long), **mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what was remembered."""
        self._holders = frozenset(state[_HOLDERS].tolist())
        prefix = f"{_MEAN}/"
        self._mean = {name.removeprefix(prefix): update for name, update in state.items() if name != _HOLDERS}

    def _change(self) -> dict[str, ArrayRecord | ConfigRecord]:
        return to_records(Package(UPDATES, self._mean), self.codec)

    def _update(self, message: Message) -> dict[str, Tensor]:
        """Return the update of a client, which has the names and shapes of the weights that were sent out."""
        package = from_records(message.content)
        if package.kind != UPDATES:
            raise BadPackage(f"sent {package.kind}, expected {UPDATES}")
        shapes = {name: list(weight.shape) for name, weight in self._weights.items()}
        if (sent := {name: list(update.shape) for name, update in package.arrays.items()}) != shapes:
            odd = min(name for name in sent.keys() | shapes.keys() if sent.get(name) != shapes.get(name))
            raise BadPackage(f"sent an update {odd!r} of shape {sent.get(odd)}, expected {shapes.get(odd)}")
        package.require_finite()
        return {name: package.arrays[name] for name in shapes}


@dataclass(frozen=True, kw_only=True)
class UpdateAveraging(ServerStrategy):
    """Updates of weights are averaged by the number of samples behind them; codecs say how they cross in both directions."""

    takes: ClassVar[tuple[str | None, ...]] = ("updates",)
    mixed_models: ClassVar[bool] = False
    asks_alike: ClassVar[bool] = False
    holds_weights: ClassVar[bool] = True

    def create(self, side: ServerSide) -> FedAvgOfUpdates:
        """Return the Flower strategy."""
        return FedAvgOfUpdates(codec=side.codec_down or side.codec, sampling=side.sampling)
