"""What a partitioner is: it names an owner for every sample; sizes, holdouts and empty clients are handled here.

>>> dealt = Iid().assign(np.zeros(100), clients=4, streams=Streams(0))
>>> [len(client) for client in dealt.training]
[22, 22, 22, 22]
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fedkd.data.datasets.base import DataInfo, DataSet, Indices
from fedkd.data.partitions._repair import Pairs, borrow, move
from fedkd.data.positions import Positions
from fedkd.data.relabelling import Hiding
from fedkd.data.samples import Samples
from fedkd.data.shift import Change
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count, Index, OpenFraction
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, eq=False)
class Dealt:
    """What each client got.

    Args:
        training: client -> positions in the pool that it trains on, ascending.
        holdouts: client -> positions that it keeps for its own evaluation, ascending, none of them in training.
    """

    training: Positions
    holdouts: Positions


@dataclass(frozen=True, kw_only=True)
class Partitioner(Part, ABC):
    """Base of partitioners: a subclass says who owns which sample.

    A client that gets fewer than `minimum` samples is never a reason to draw again, which need not end; the draw is
    repaired: what is missing is moved from the clients that have most.
    """

    holdout: OpenFraction = 0.1
    "Share of a client's samples that it keeps for its own evaluation, rounded; at least one sample is left to train on."
    minimum: Count = 1
    "Fewest samples of a client, its holdout included."
    empty: Literal["error", "allow", "replace"] = "error"
    "For clients short of the minimum. error: move samples from the richest, refuse if there are too few; allow: leave them as they are; replace: lend them samples of others, which then live in several clients."

    heads: tuple[tuple[Index, ...], ...] = ()
    "Heads of each client, where a sample has a class for each of several, and round again: `[[0],[1],[2]]` are specialists of one task each; empty is all for everyone."

    shares_samples: ClassVar[bool] = False
    """Whether a sample may be with several clients, without being lent."""

    by_owner: ClassVar[bool] = False
    "Whether it deals by the owners that the data set knows."

    @abstractmethod
    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Return the client that owns each sample, -1 for a sample that no client owns; rows of them where several may.

        Args:
            groups: [N] class, or group of numeric targets, of each sample.
            clients: number of clients.
            generator: the only source of chance.
        """

    def seen(self, info: DataInfo, train: Samples) -> npt.NDArray[Any]:
        """Return what the partitioner sees of each sample of the pool: its class, its number, or 0 where its target is neither."""
        if info.targets.sort:
            return train.targets.numpy()
        return train.targets[:, 0].numpy() if info.targets.numbers else np.zeros(len(train), np.int64)

    def group(self, targets: npt.NDArray[Any]) -> Indices:
        """Return the groups in which a partitioner thinks: the classes, or 0 for every sample with a numeric target."""
        classes = np.issubdtype(targets.dtype, np.integer)
        return targets.astype(np.int64) if classes else np.zeros(len(targets), dtype=np.int64)

    def shift(self, clients: int, streams: Streams) -> Change | None:
        """Return what is done to the inputs or labels of each client, None for nothing; `change` adds the heads that it does not know."""
        del clients, streams
        return None

    def change(self, clients: int, streams: Streams) -> Change | None:
        """Return all that is done to the samples of each client, None for nothing: the shift, then what it does not know is hidden."""
        shift = self.shift(clients, streams)
        if not self.heads:
            return shift
        return Hiding([self.heads[client % len(self.heads)] for client in range(clients)], shift)

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse what cannot work, before anything is loaded.

        Args:
            data: the data set that will be dealt.
            pool: size of its training pool without the proxy set.
            clients: number of clients.

        Raises:
            InvalidOption: more clients than the samples suffice for.
            IllegalCombination: the partitioner does not work on this kind of data.
        """
        self.check_heads(data)
        if self.empty == "error" and clients * self.minimum > pool:
            allowed = f"at most {pool // self.minimum} ({pool} samples of {self.minimum} or more a client); or set partition.empty=allow or =replace"
            raise InvalidOption("clients", clients, allowed)
        if self.minimum > pool:
            raise InvalidOption("partition.minimum", self.minimum, f"at most {pool}, the number of samples")

    def check_heads(self, data: DataSet) -> None:
        """Refuse heads that the data does not have, and clients without any."""
        if self.heads and not data.heads:
            raise IllegalCombination(
                f"partition.heads is about several classifications of a sample, data={data.name()} is a {data.task}; "
                "leave it out, or take data=diamonds_grades"
            )
        for some in self.heads:
            if not some or max(some) >= len(data.heads):
                names = ", ".join(f"{place} {name}" for place, name in enumerate(data.heads))
                raise InvalidOption("partition.heads", list(some), f"at least one of {names} for each client")

    def assign(self, targets: npt.NDArray[Any], *, clients: int, streams: Streams) -> Dealt:
        """Deal a pool to clients; draws from the streams `partition` and `holdout`.

        Args:
            targets: [N] class numbers, or [N] numbers.
            clients: number of clients, 1 or more.
            streams: the random streams of the run.
        """
        generator = streams.numpy("partition")
        owners = self.owners(self.group(targets), clients, generator)
        if self.empty == "error":
            owners = self._filled(owners, clients, generator)
        kept = np.nonzero(owners >= 0)
        pairs = Pairs(owners[kept], kept[-1].astype(np.int64))
        if self.empty == "replace":
            pairs = borrow(pairs, len(targets), clients, self.minimum, generator)
        return _hold_out(pairs, clients, self.holdout, streams.numpy("holdout"))

    def _filled(self, owners: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Return owners such that each client has its minimum; what several may have is never moved."""
        if not self.shares_samples:
            return move(owners, clients, self.minimum, generator)
        poorest = int(np.bincount(owners[owners >= 0], minlength=clients).min())
        if poorest < self.minimum:
            allowed = (
                f"at most {poorest}, what the poorest client has; or set partition.empty=allow or =replace"
            )
            raise InvalidOption("partition.minimum", self.minimum, allowed)
        return owners


@dataclass(frozen=True, kw_only=True)
class GroupPartitioner(Partitioner):
    """Base of partitioners that tell samples apart by their class; numeric targets are cut into groups of equal size."""

    bins: Count = 10
    "For numeric targets: number of groups, cut at quantiles of the training pool, which then stand in for classes."

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse data whose targets are neither classes nor numbers."""
        super().check(data, pool, clients)
        if not (data.targets.sort or data.targets.numbers):
            raise IllegalCombination(
                f"partition={type(self).__module__.rpartition('.')[2]} tells samples apart by their targets, and "
                f"data={data.name()} has {data.targets.are}, which are neither classes nor numbers; take partition=natural, iid or quantity"
            )

    def group(self, targets: npt.NDArray[Any]) -> Indices:
        """Return the classes, or the quantile group of each number."""
        if np.issubdtype(targets.dtype, np.integer):
            return targets.astype(np.int64)
        cuts = np.quantile(targets, np.arange(1, self.bins) / self.bins)
        return np.searchsorted(cuts, targets, side="right").astype(np.int64)

    def groups(self, data: DataSet) -> int:
        """Return the number of classes or groups of a data set."""
        return data.num_labels if data.targets.sort else self.bins


def _hold_out(pairs: Pairs, clients: int, share: float, generator: np.random.Generator) -> Dealt:
    if not share:
        return Dealt(_by_client(pairs, clients), Positions.of([np.empty(0, np.int64)] * clients))
    order = generator.permutation(len(pairs.clients))
    order = order[np.argsort(pairs.clients[order], kind="stable")]
    sizes = np.bincount(pairs.clients, minlength=clients)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = np.minimum(np.rint(sizes * share), np.maximum(sizes - 1, 0)).astype(np.int64)
    held = rank < np.repeat(kept, sizes)
    parts = (Pairs(pairs.clients[chosen], pairs.samples[chosen]) for chosen in (order[~held], order[held]))
    return Dealt(*(_by_client(part, clients) for part in parts))


def _by_client(pairs: Pairs, clients: int) -> Positions:
    order = np.lexsort((pairs.samples, pairs.clients))
    begins = np.zeros(clients + 1, dtype=np.int64)
    np.cumsum(np.bincount(pairs.clients, minlength=clients), out=begins[1:])
    return Positions(pairs.samples[order], begins)
