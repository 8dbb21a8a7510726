"""Compiled steps against the same steps as they are, and against what a process has compiled before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor

from fedkd.clients import ClientStrategy
from fedkd.clients.codistillation import CoDistillation
from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, Turn, recording, train_together
from fedkd.engine.compiling import rung
from fedkd.engine.engines.auto import Auto
from fedkd.engine.engines.base import Question
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.errors import IllegalCombination
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models.base import Model
from fedkd.models.mlp import MLP
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
SIZES = (0, 20, 7, 70, 33, 40)
MODELS = (MLP(hidden=(8,)),) * len(SIZES)
PLAN = Fit(epochs=1, batch_size=16, optimizer=Optimizer(lr=0.05, momentum=0.9, weight_decay=1e-3))


@pytest.fixture(autouse=True)
def everything_compiled(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test in which a step was not compiled without saying so, and leave nothing to the next one."""
    yield
    forget()
    if "refuses" not in request.node.name:
        said = [one.getMessage() for one in caplog.get_records("call") if one.name.startswith("fedkd")]
        assert not said


def forget() -> None:
    """Be as a process that has just begun."""
    recording._REMEMBERED.clear()
    torch._dynamo.reset()


@pytest.fixture
def unequal(digits: FederatedData) -> FederatedData:
    """Clients of 0 to 70 samples, whose steps need full and filled-up batches, of the whole cohort and of half of it."""
    rows = np.random.default_rng(0)
    some = [rows.integers(len(digits.train), size=size) for size in SIZES]
    return replace(digits, assignments=tuple(some), holdouts=tuple(rows[:3] for rows in some))


def weights(
    side: ClientSide, clients: Sequence[int], engine: Vectorised, received: Package | None = None
) -> list[dict[str, Tensor]]:
    """Return the weights of clients after a round."""
    said = {} if received is None else to_records(received, Float32())
    mail = Mail(RecordDict({"config": ConfigRecord({"server-round": 1}), **said}))
    turns = [Turn(client, mail, RecordDict()) for client in clients]
    found = []
    for outcome in train_together(replace(side, engine=engine), turns):
        assert isinstance(outcome, RecordDict), outcome
        found.append(dict(from_records(outcome).arrays))
    return found


def assert_same(some: list[dict[str, Tensor]], others: list[dict[str, Tensor]]) -> None:
    for one, other in zip(some, others, strict=True):
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", [Supervised(fit=PLAN), CoDistillation(fit=Fit(epochs=0), digest=PLAN)])
def test_a_compiled_cohort_gives_the_same_weights(
    strategy: ClientStrategy, client_side: Maker, unequal: FederatedData
) -> None:
    side = client_side(strategy, data=unequal, kind=Weights(), models=MODELS)
    received = None
    if isinstance(strategy, CoDistillation):
        values = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
        received = Package("logits", {"values": values}, ids=side.proxy().ids[:20].flip(0))
    clients = [3, 0, 2, 5, 1, 4]
    compiled = weights(side, clients, Vectorised(compile=True), received)
    assert_same(compiled, weights(side, clients, Vectorised(), received))
    assert any(key[1] and known for key, known in recording._REMEMBERED.items()), "nothing was compiled"


def test_bits_do_not_depend_on_what_a_process_has_compiled_before(
    client_side: Maker, unequal: FederatedData
) -> None:
    side = client_side(Supervised(fit=PLAN), data=unequal, kind=Weights(), models=MODELS)
    first = weights(side, [3, 4, 5], Vectorised(compile=True))
    forget()
    weights(side, [0, 1, 2, 3, 4, 5], Vectorised(compile=True))
    again = weights(side, [3, 4, 5], Vectorised(compile=True))
    for one, other in zip(first, again, strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_dropout_is_drawn_per_client_in_compiled_steps_too(
    client_side: Maker, unequal: FederatedData, droppingly: Model
) -> None:
    side = client_side(Supervised(fit=PLAN), data=unequal, kind=Weights(), models=(droppingly,) * len(SIZES))
    plain = weights(side, [3, 4, 5, 2], Vectorised())
    assert_same(weights(side, [3, 4, 5, 2], Vectorised(compile=True)), plain)


def test_what_the_compiler_refuses_is_run_as_it_is_and_says_so(
    client_side: Maker,
    unequal: FederatedData,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no C++ compiler")

    side = client_side(Supervised(fit=PLAN), data=unequal, kind=Weights(), models=MODELS)
    plain = weights(side, [3, 4, 5], Vectorised())
    monkeypatch.setattr(torch, "compile", refuse)
    assert_same(weights(side, [3, 4, 5], Vectorised(compile=True)), plain)
    assert "without compiling it, since: no C++ compiler" in caplog.text


@pytest.mark.parametrize(
    ("clients", "active", "size"),
    [(125, 125, 128), (125, 64, 64), (125, 3, 4), (13, 13, 16), (12, 5, 12), (12, 2, 12), (3, 1, 4)],
)
def test_compiled_steps_come_in_few_sizes(clients: int, active: int, size: int) -> None:
    assert rung(clients, active) == size


QUESTION = Question("mlp", MLP().network((64,), 10), (64,), 32, "cpu", "Supervised", 10)


def test_a_machine_without_a_compiler_is_told_so_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    for engine in (Auto(compile=True), Vectorised(compile=True)):
        with pytest.raises(IllegalCombination, match=r"engine.compile=true needs .* \(no-such-compiler\)"):
            engine.chosen([QUESTION])
    assert not Vectorised().chosen([QUESTION]).compiles


def test_auto_passes_the_wish_on() -> None:
    assert Auto(compile=True).chosen([QUESTION]).compiles
    assert not Auto().chosen([QUESTION]).compiles
