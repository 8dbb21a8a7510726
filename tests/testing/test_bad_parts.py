from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.data.datasets.base import DataInfo, Loaded
from fedkd.data.datasets.digits import Digits
from fedkd.data.partitions.base import Indices
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.base import ProxyDraw
from fedkd.data.proxies.noise import Noise
from fedkd.data.samples import Samples
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.base import TrainedClient
from fedkd.knowledge.kinds.logits import Logits
from fedkd.models.base import Outputs
from fedkd.models.mlp import MLP
from fedkd.strategies import Local, ServerSide
from fedkd.strategies.local import NoExchange
from fedkd.testing import check_part


class Squares(Float32):
    """Sends what cannot be undone."""

    def decode(self, sent: npt.NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
        return super().decode(sent, shape).square().flatten().nan_to_num()

    def num_bytes(self, shape: tuple[int, ...]) -> int:
        return super().num_bytes(shape) + 4


class Overlapping(Iid):
    """Deals by an unseeded generator, and only half of the pool."""

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        del generator
        owners = np.random.default_rng().integers(clients, size=len(groups))
        owners[::2] = -1
        return owners


class Shuffled(Logits):
    """Says about one sample what holds of another."""

    def extract(self, client: TrainedClient, ids: Tensor | None) -> Package:
        said = super().extract(client, ids)
        return replace(said, arrays={"values": said.values.sort(dim=0).values}, ids=None)


class Normalised(MLP):
    """Subtracts the mean of the batch."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        return _Centred(super().network(shape, num_outputs))


class _Centred(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.unused = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Outputs:
        logits, features, _ = self.network(x)
        return Outputs(logits - logits.mean(dim=0), features)


class Flat(Noise):
    """Loses the shape of its samples, and one of them."""

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        drawn = super().draw(info, pool, streams)
        assert drawn.samples is not None
        samples = drawn.samples.take(range(self.size - 1))
        flat = {view: torch.rand_like(x).flatten(1) for view, x in samples.inputs.items()}
        return replace(drawn, samples=replace(samples, inputs=flat), labelled=True)


class Leaking(Digits):
    """Tests on what it trains on."""

    def load(self, streams: Streams) -> Loaded:
        del streams
        loaded = super().load(Streams(0))
        return replace(loaded, test=loaded.train)


class _Fewer(Local):
    """Forgets, when it is stopped, how often it was asked."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        self.asked = getattr(self, "asked", 0) + 1
        return list(super().configure_train(server_round, arrays, config, grid))[: self.asked]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return super().aggregate_train(server_round, replies)


@dataclass(frozen=True, kw_only=True)
class Growing(NoExchange):
    """Asks one client more each round, and keeps the number to itself."""

    takes: ClassVar[tuple[str | None, ...]] = (None,)

    def create(self, side: ServerSide) -> Local:
        return _Fewer(**side.sampling)


CAUGHT: Mapping[object, set[str]] = {
    Squares(): {"the shape comes back", "the size is exact", "what is not finite is noticed"},
    Overlapping(): {"no sample is lost", "the seed decides"},
    Shuffled(): {"ids travel with what is said"},
    Normalised(): {"samples do not see each other", "the gradient reaches every parameter"},
    Flat(): {
        "the size is known beforehand",
        "samples fit the clients models",
        "labels are classes where they are promised",
        "the seed decides",
    },
    Leaking(): {"sizes are known beforehand", "no sample is in two parts", "the seed decides the split"},
    Growing(): {"a stopped run goes on to the same end"},
}


@pytest.mark.parametrize("part", CAUGHT, ids=lambda part: type(part).__name__)
def test_a_part_is_caught_by_the_clauses_that_it_breaks(part: object) -> None:
    failed = {check.name: check.message for check in check_part(part) if not check.passed}
    assert failed.keys() >= CAUGHT[part]
    assert all(failed.values())
