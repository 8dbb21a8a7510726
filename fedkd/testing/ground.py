"""The ground on which parts are tested: small federations of real data, with clients that have hardly anything.

>>> [len(digits().client_train(client)) for client in CLIENTS]
[0, 1, 7, 24, 24]
"""

import copy
import functools
from dataclasses import replace

import numpy as np
import torch

from fedkd.assembly.build import task_of
from fedkd.clients import ClientStrategy
from fedkd.data.datasets.base import DataSet
from fedkd.data.datasets.diabetes import Diabetes
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide
from fedkd.engine.client import fitted_out
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.base import Kind
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Model
from fedkd.models.early_exits import EarlyExits
from fedkd.models.mlp import MLP
from fedkd.models.peer_branches import PeerBranches

EMPTY, ONE, SEVEN, USUAL, FEW_CLASSES = CLIENTS = range(5)
"""The clients: 0, 1, 7 and 24 samples, and 24 samples of only three of ten classes (of small numbers, in a regression)."""

_SIZES = (0, 1, 7, 24)
_PROXY = 32


def digits() -> FederatedData:
    """Return a federation that classifies digits; a copy, so that no test can spoil it for another."""
    return copy.deepcopy(_federation(Digits()))


def diabetes() -> FederatedData:
    """Return a federation that predicts a number; a copy, so that no test can spoil it for another."""
    return copy.deepcopy(_federation(Diabetes()))


def client_side(strategy: ClientStrategy, data: FederatedData, kind: Kind | None = None) -> ClientSide:
    """Return a client side with a small network, with exits where they are needed; what clients share are their weights unless another kind is named."""
    network: Model = MLP(hidden=(16,))
    if strategy.needs_means:
        network = PeerBranches(trunk=(16,), branch=(8,), peers=2)
    elif strategy.needs_exits:
        network = EarlyExits(hidden=(16, 8))
    return ClientSide(
        data=data,
        models=fitted_out(strategy, (network,) * len(CLIENTS), MLP(hidden=(8,))),
        strategy=strategy,
        kind=kind or Weights(),
        codec=Float32(),
        task=task_of(data),
        streams=Streams(0),
    )


@functools.cache
def _federation(source: DataSet) -> FederatedData:
    data = federate(source, Iid(), Heldout(size=_PROXY), 1, Streams(0))
    targets = data.train.targets.flatten()
    few = torch.argsort(targets, stable=True)[: len(targets) // 4]
    ends = np.cumsum(_SIZES)
    pieces = [np.arange(end - size, end) for end, size in zip(ends, _SIZES, strict=True)]
    spread = np.linspace(0, len(few) - 1, _SIZES[-1]).astype(np.int64)
    assignments = (*pieces, np.sort(few.numpy()[spread]))
    holdouts = tuple(np.arange(ends[-1], ends[-1] + 4) for _ in assignments)
    return replace(data, assignments=assignments, holdouts=holdouts)
