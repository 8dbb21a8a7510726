"""Clients whose loss compares the samples of a batch with each other are trained at once as they are one by one."""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict

from fedkd.clients.codistillation import CoDistillation
from fedkd.data.datasets.base import DataSet
from fedkd.data.datasets.japanese_vowels import JapaneseVowels
from fedkd.data.datasets.orl_faces import OrlFaces
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide, Turn, train_together
from fedkd.engine.engines.base import TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Model
from fedkd.models.conv1d import Conv1d
from fedkd.models.lenet import LeNet
from fedkd.models.mlp import MLP
from fedkd.tasks import Recognition
from fedkd.training import Fit, Optimizer

PLAN = Fit(epochs=1, batch_size=16, optimizer=Optimizer(lr=0.05, momentum=0.9))
CASES: dict[str, tuple[DataSet, Model]] = {
    "faces, mlp": (OrlFaces(shrink=4, embedding=6), MLP(hidden=(8,))),
    "faces, lenet": (OrlFaces(shrink=4, embedding=6), LeNet(channels=(2, 3), kernel=3, hidden=8)),
    "speakers, conv1d": (JapaneseVowels(embedding=6), Conv1d(channels=(4, 5))),
}


@functools.cache
def unequal(data: DataSet) -> FederatedData:
    """Give four clients 1, 7, 33 and 40 samples, so that batches differ in size."""
    whole, draw = federate(data, Iid(), Heldout(size=20), 4, Streams(0)), np.random.default_rng(0)
    some = [draw.permutation(len(whole.train))[:size] for size in (1, 7, 33, 40)]
    return replace(whole, assignments=tuple(some), holdouts=tuple(rows[:1] for rows in some))


def answers(side: ClientSide, engine: TrainingEngine) -> list[dict[str, torch.Tensor]]:
    """Return the weights of all clients after a round without and a round with embeddings of the proxy set."""
    assert side.data.proxy is not None
    said = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    package = to_records(Package("logits", {"values": said}, ids=side.data.proxy.ids), Float32())
    states = {client: RecordDict() for client in range(4)}
    outcomes: list[RecordDict | Exception] = []
    for current, received in ((1, {}), (2, package)):
        config = ConfigRecord({"server-round": current, "keep": True})
        mail = Mail(RecordDict({"config": config, **received}))
        turns = [Turn(client, mail, states[client]) for client in range(4)]
        outcomes += train_together(replace(side, engine=engine), turns)
    for outcome in outcomes:
        assert isinstance(outcome, RecordDict), outcome
    return [dict(from_records(outcome).arrays) for outcome in outcomes if isinstance(outcome, RecordDict)]


@pytest.mark.parametrize("case", CASES)
def test_both_engines_give_the_same_weights(case: str, client_side: Callable[..., ClientSide]) -> None:
    data, model = CASES[case]
    strategy = CoDistillation(fit=PLAN, digest=PLAN, label_weight=0.5)
    side = client_side(
        strategy, data=unequal(data), models=(model,) * 4, kind=Weights(), task=Recognition(), student=model
    )
    together, alone = answers(side, Vectorised()), answers(side, Sequential())
    assert len(together) == len(alone) == 8
    for one, other in zip(together, alone, strict=True):
        for name, weight in one.items():
            assert torch.allclose(weight, other[name], atol=2e-5), name
