"""Clients whose networks read several views of symbols are trained at once as they are one by one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict

from fedkd.clients.supervised import Supervised
from fedkd.data.datasets.movielens import MovieLens
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide, Turn, train_together
from fedkd.engine.engines.base import TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import from_records
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Model
from fedkd.models.factorisation import Factorisation
from fedkd.models.item_bag import ItemBag
from fedkd.tasks import Ranking
from fedkd.training import Fit, Optimizer

PLAN = Fit(epochs=2, batch_size=16, optimizer=Optimizer(lr=0.1, momentum=0.9))


def unequal() -> FederatedData:
    """Give four clients 1, 7, 33 and 40 samples, so that batches differ in size."""
    whole, draw = federate(MovieLens(), Iid(), Heldout(size=20), 4, Streams(0)), np.random.default_rng(0)
    some = [draw.permutation(len(whole.train))[:size] for size in (1, 7, 33, 40)]
    return replace(whole, assignments=tuple(some), holdouts=tuple(rows[:1] for rows in some))


def answers(side: ClientSide, engine: TrainingEngine) -> list[dict[str, torch.Tensor]]:
    config = ConfigRecord({"server-round": 1, "keep": True})
    turns = [Turn(client, Mail(RecordDict({"config": config})), RecordDict()) for client in range(4)]
    outcomes = train_together(replace(side, engine=engine), turns)
    for outcome in outcomes:
        assert isinstance(outcome, RecordDict), outcome
    return [dict(from_records(outcome).arrays) for outcome in outcomes if isinstance(outcome, RecordDict)]


@pytest.mark.parametrize("model", [ItemBag(width=6, hidden=(8,)), Factorisation(width=6)], ids=repr)
def test_both_engines_give_the_same_weights(model: Model, client_side: Callable[..., ClientSide]) -> None:
    side = client_side(
        Supervised(fit=PLAN),
        data=unequal(),
        models=(model,) * 4,
        kind=Weights(),
        task=Ranking(),
        student=model,
    )
    together, alone = answers(side, Vectorised()), answers(side, Sequential())
    assert len(together) == len(alone) == 4
    for one, other in zip(together, alone, strict=True):
        for name, weight in one.items():
            assert torch.allclose(weight, other[name], atol=2e-5), name
