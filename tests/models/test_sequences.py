"""Networks over sequences of symbols: causal, refused where there are numbers, and trained at once where that can be done."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict

from fedkd.assembly.build import task_of
from fedkd.clients.codistillation import CoDistillation
from fedkd.data.datasets.grammar import Grammar
from fedkd.data.federated import FederatedData, federate
from fedkd.data.partitions.iid import Iid
from fedkd.data.proxies.heldout import Heldout
from fedkd.engine import ClientSide, Turn, train_together
from fedkd.engine.engines.auto import vectorising_pays
from fedkd.engine.engines.base import Question
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import from_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.logits import Logits
from fedkd.models.base import Model, Signature, run_network
from fedkd.models.gru import GRU
from fedkd.models.mlp import MLP
from fedkd.models.transformer import Transformer
from fedkd.training import Fit, Optimizer

TEXT = Signature({"tokens": (9,)}, 8, {"tokens": 8})
MODELS: tuple[Model, ...] = (GRU(hidden=8, layers=2), Transformer(width=8, hidden=8))


@pytest.mark.parametrize("model", MODELS)
def test_what_is_said_at_a_place_depends_on_what_stands_up_to_there_alone(model: Model) -> None:
    with Streams(0).initialising("test"):
        network = model.build(TEXT)
    symbols = torch.randint(8, (4, 9), generator=Streams(0).torch("symbols"))
    changed = symbols.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 8
    before, after = (run_network(network, {"tokens": tokens}).logits for tokens in (symbols, changed))
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(dim=-1).all(), "what comes later sees the change"
    short = run_network(network, {"tokens": symbols[:, :3]}).logits
    torch.testing.assert_close(before[:, :3], short)


def test_symbols_and_numbers_are_not_taken_for_each_other() -> None:
    with pytest.raises(IllegalCombination, match=r"model=mlp reads numbers.*take model=gru"):
        MLP().build(TEXT)
    with pytest.raises(IllegalCombination, match=r"model=gru reads symbols.*take model=mlp"):
        GRU().build(Signature({"features": (9,)}, 8))
    with pytest.raises(InvalidOption, match=r"model\.heads.*divisor of model\.width=32"):
        Transformer(heads=3)


def test_by_the_rule_recurrent_networks_are_trained_one_by_one_and_small_transformers_at_once() -> None:
    asked = [Question("someone", model.build(TEXT), (9,), 32, "cpu", "Supervised", 10) for model in MODELS]
    pays = [vectorising_pays(one, Vectorised()) for one in asked]
    assert pays == [False, True]


@pytest.fixture(scope="module")
def strings() -> FederatedData:
    data = federate(Grammar(), Iid(), Heldout(size=20), 4, Streams(0))
    sizes = (0, 1, 7, 20)
    return replace(data, assignments=tuple(np.arange(size) + 30 * place for place, size in enumerate(sizes)))


def answers(strings: FederatedData, model: Model, engine: Sequential | Vectorised) -> list[torch.Tensor]:
    """Train four clients on strings, then on what they were told of the proxy set, and let them speak about it."""
    fit = Fit(batch_size=8, optimizer=Optimizer(lr=0.05, momentum=0.9))
    side = ClientSide(
        data=strings,
        models=(model,) * 4,
        strategy=CoDistillation(fit=fit, digest=fit, pretrain=fit),
        kind=Logits(),
        codec=Float32(),
        task=task_of(strings),
        streams=Streams(0),
        engine=engine,
    )
    content, states = (
        RecordDict({"config": ConfigRecord({"server-round": 1})}),
        [RecordDict() for _ in range(4)],
    )
    for number in (1, 2):
        turns = [Turn(client, Mail(content), state) for client, state in enumerate(states)]
        replies = [reply for reply in train_together(side, turns) if isinstance(reply, RecordDict)]
        assert len(replies) == 4
        told = {name: replies[3][name] for name in ("arrays", "about")}
        content = RecordDict({**told, "config": ConfigRecord({"server-round": number + 1})})
    return [from_records(reply).values for reply in replies]


def test_transformers_that_are_trained_at_once_say_what_they_say_when_trained_one_by_one(
    strings: FederatedData,
) -> None:
    one_by_one, at_once = (answers(strings, MODELS[1], engine) for engine in (Sequential(), Vectorised()))
    assert one_by_one[0].shape == (20, 9, 8)
    for alone, together in zip(one_by_one, at_once, strict=True):
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-4)


def test_recurrent_networks_that_are_to_be_trained_at_once_are_trained_one_by_one_all_the_same(
    strings: FederatedData,
) -> None:
    one_by_one, at_once = (answers(strings, MODELS[0], engine) for engine in (Sequential(), Vectorised()))
    for alone, together in zip(one_by_one, at_once, strict=True):
        assert torch.equal(alone, together)
