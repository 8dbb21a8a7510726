"""A federation's data: split, proxy set taken out, the rest dealt to clients.

>>> data = federate(Digits(), Dirichlet(alpha=0.1), Heldout(size=400), clients=10, streams=Streams(0))
>>> len(data.client_train(3)), len(data.proxy)
(71, 400)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fedkd.data.datasets.base import DataInfo, DataSet, Indices
from fedkd.data.manifest import described, manifest
from fedkd.data.partitions.base import Dealt, Partitioner
from fedkd.data.positions import Positions
from fedkd.data.proxies.base import Proxy
from fedkd.data.proxies.none import NoProxy
from fedkd.data.samples import Samples, concatenate
from fedkd.data.shift import Change
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, eq=False)
class FederatedData:
    """The data of one federation, in memory.

    Args:
        info: what models, tasks and reports need to know.
        train: the training pool without the proxy set; clients' positions count in it.
        validation: for choosing; nobody trains on it.
        test: for reporting only.
        proxy: the public set, None where there is none.
        proxy_labelled: whether methods may use the targets of the proxy set; if not, they are for diagnosis only.
        assignments: client -> positions in `train` that it trains on.
        holdouts: client -> positions in `train` that it keeps for its own evaluation.
        manifest: JSON-like description of the partition, see `fedkd.data.manifest`.
        shift: what is done to the inputs or labels of each client, None for nothing.
    """

    info: DataInfo
    train: Samples
    validation: Samples
    test: Samples
    proxy: Samples | None
    proxy_labelled: bool
    assignments: Sequence[Indices]
    holdouts: Sequence[Indices]
    manifest: Mapping[str, Any]
    shift: Change | None = None

    def client_train(self, client: int) -> Samples:
        """Return what a client trains on, as it sees it."""
        return self._seen(self.assignments[client], client, "train")

    def client_ids(self, client: int) -> Tensor:
        """Return the ids [n] of what a client trains on, in the order of `client_train`."""
        return self.train.ids[torch.as_tensor(self.assignments[client], dtype=torch.long)]

    def client_holdout(self, client: int) -> Samples:
        """Return what a client evaluates itself on, as it sees it; may be empty."""
        return self._seen(self.holdouts[client], client, "holdout")

    def pool(self, clients: Sequence[int]) -> tuple[Samples, list[Indices]]:
        """Return samples among which are those that these clients train on, and where in them each client's are.

        Nothing is copied, unless clients see the samples each in their own way.
        """
        if self.shift is None:
            return self.train, [self.assignments[client] for client in clients]
        parts = [self.client_train(client) for client in clients]
        ends = np.cumsum([len(part) for part in parts])
        return concatenate(parts), [
            np.arange(end - len(part), end) for end, part in zip(ends, parts, strict=True)
        ]

    def pooled(self) -> "FederatedData":
        """Return the same data in one client that sees what all clients see: the upper reference.

        A sample that one client trains on and another holds out, which lending makes possible, is trained on.
        """
        if self.shift is None:
            train = self.train
            training = np.unique(np.concatenate(self.assignments))
            held = np.setdiff1d(np.concatenate(self.holdouts), training)
        else:
            clients = range(len(self.assignments))
            parts = (
                [self.client_train(client) for client in clients],
                [self.client_holdout(client) for client in clients],
            )
            train = concatenate([*parts[0], *parts[1]])
            training, held = np.split(np.arange(len(train)), [sum(map(len, parts[0]))])
        dealt = Dealt(Positions.of([training]), Positions.of([held]))
        summary = manifest(
            self.info, train, self.validation, self.test, self.proxy, dealt, self.manifest["options"]
        )
        return replace(
            self,
            train=train,
            assignments=dealt.training,
            holdouts=dealt.holdouts,
            manifest=summary,
            shift=None,
        )

    def _seen(self, positions: Indices, client: int, part: Literal["train", "holdout"]) -> Samples:
        samples = self.train.take(positions)
        return samples if self.shift is None else self.shift.apply(samples, client, part)


def check(data: DataSet, partition: Partitioner, proxy: Proxy | None, clients: int) -> None:
    """Refuse what cannot work, from what is known before anything is loaded.

    Raises:
        InvalidOption: an option that does not fit the size of the data, or of another option.
        IllegalCombination: parts that do not work together.
    """
    if clients < 1:
        raise InvalidOption("clients", clients, "a whole number of at least 1")
    proxy = proxy or NoProxy()
    pool = data.sizes().train
    proxy.check(data, pool)
    partition.check(data, pool - proxy.taken(pool), clients)


def federate(
    data: DataSet, partition: Partitioner, proxy: Proxy | None, clients: int, streams: Streams
) -> FederatedData:
    """Load a data set, split it, take the proxy set out of the training pool, and deal the rest to clients.

    The split depends on the seed alone, the proxy set on seed and split, so both stay when clients or partition change.

    Args:
        data: what to load.
        partition: how to deal it.
        proxy: the public set, None for none.
        clients: number of clients.
        streams: the random streams of the run.

    Raises:
        InvalidOption, IllegalCombination: see `check`.
        DataUnavailable: the data set is not on this machine and no source delivers it.
    """
    check(data, partition, proxy, clients)
    loaded = data.load(streams)
    drawn = (proxy or NoProxy()).draw(loaded.info, loaded.train, streams)
    train = loaded.train
    if len(drawn.taken):
        train = train.take(np.setdiff1d(np.arange(len(train)), drawn.taken, assume_unique=True))
    dealt = partition.assign(partition.seen(loaded.info, train), clients=clients, streams=streams)
    options = {
        "data": data,
        "partition": partition,
        "proxy": proxy or NoProxy(),
        "clients": clients,
        "seed": streams.seed,
    }
    return FederatedData(
        info=loaded.info,
        train=train.plainly(),
        validation=loaded.validation.plainly(),
        test=loaded.test.plainly(),
        proxy=None if drawn.samples is None else drawn.samples.plainly(),
        proxy_labelled=drawn.labelled,
        assignments=dealt.training,
        holdouts=dealt.holdouts,
        manifest=manifest(
            loaded.info, train, loaded.validation, loaded.test, drawn.samples, dealt, described(options)
        ),
        shift=partition.change(clients, streams),
    )
