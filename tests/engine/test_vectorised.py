"""The vectorised engine against its sequential twin: the same weights, whatever clients, plans, losses and networks."""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flwr.app import ConfigRecord, RecordDict
from torch import Tensor, nn

from fedkd.clients import CLIENTS, ClientStrategy, Step
from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.data.partitions.feature import Feature
from fedkd.engine import ClientSide, Turn, evaluate_together, train_together
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import Mail
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.class_means import ClassMeans
from fedkd.knowledge.kinds.logits import Logits
from fedkd.knowledge.kinds.weights import Weights
from fedkd.models._generator import FeatureGenerator, Sizes
from fedkd.models.base import Model, observe
from fedkd.models.branches import Branches
from fedkd.models.early_exits import EarlyExits
from fedkd.models.lenet import LeNet
from fedkd.models.logistic import Logistic
from fedkd.models.mlp import MLP
from fedkd.models.peer_branches import PeerBranches
from fedkd.models.peers import Peers
from fedkd.models.resnet import ResNet
from fedkd.models.sign import SIGN
from fedkd.training import Fit, Optimizer

Maker = Callable[..., ClientSide]
SIZES = (0, 1, 7, 1000, 65, 80)
PLAN = Fit(
    epochs=1, batch_size=64, optimizer=Optimizer(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
)
MODELS: dict[str, Model] = {
    "mlp": MLP(hidden=(16,)),
    "logistic": Logistic(),
    "lenet": LeNet(channels=(2, 3), kernel=3, hidden=8),
    "resnet": ResNet(channels=(4, 8), groups=2),
    "sign": SIGN(hidden=4),
}
EXITS: dict[str, Model] = {
    "peers": Peers(of=("logistic", {"name": "mlp", "hidden": [8]})),
    "branches": Branches(trunk=(8,), branch=(8,), branches=2),
    "early_exits": EarlyExits(hidden=(8, 6)),
    "peer_branches": PeerBranches(trunk=(8,), branch=(8,), peers=2),
}


# A residual network makes much of a rounding within a few dozen steps, above all in biases that begin at 0; so its steps are small, and
# it is measured as a whole. In double precision, below, it is held to 1e-10.
GENTLE = replace(PLAN, optimizer=Optimizer(lr=0.003))


FULLER = {"fedgen": {"fade": 0.5, "kl_weight": 1.0}}
"""Options with which a strategy has terms that it has not by default."""


def strategies(plan: Fit = PLAN) -> dict[str, ClientStrategy]:
    """Every built-in strategy with short plans, found by its name so that none is forgotten."""
    made = {}
    for name in CLIENTS.names():
        cls = CLIENTS.find(name, key="name")
        plans = {field: plan for field in ("fit", "digest", "pretrain") if field in cls.__dataclass_fields__}
        made[name] = cls(**plans, **FULLER.get(name, {}))
    return made


def fitting() -> list[tuple[str, str]]:
    """Return every strategy with each network that it can train."""
    found = []
    for name, strategy in strategies().items():
        for called, model in (EXITS if strategy.needs_exits else MODELS).items():
            sees = model.gives_exit_features or not strategy.needs_exit_features
            if sees and model.gives_means == strategy.needs_means:
                found.append((name, called))
    return found


def unequal(digits: FederatedData) -> FederatedData:
    """Give six clients 0, 1, 7, 1000, 65 and 80 samples; a sample may be several clients'."""
    rows = np.random.default_rng(0)
    some = [rows.integers(len(digits.train), size=size) for size in SIZES]
    return replace(digits, assignments=tuple(some), holdouts=tuple(rows[:3] for rows in some))


def message(number: int, package: Package | None = None) -> RecordDict:
    said = {} if package is None else to_records(package, Float32())
    return RecordDict({"config": ConfigRecord({"server-round": number, "keep": True}), **said})


def packages(side: ClientSide, digits: FederatedData) -> dict[str, Package | None]:
    assert digits.proxy is not None
    network = side.network(0)
    width = observe(network, digits.validation.inputs).features.shape[-1]
    with Streams(0).initialising("generator"):
        generator = FeatureGenerator(Sizes(10, 4, 8, width))
    values = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    return {
        "codistillation": Package("logits", {"values": values}, ids=digits.proxy.ids[:20].flip(0)),
        "fedproto": Package(
            "prototypes", {"values": values[:10, :1].expand(10, width)}, counts=torch.arange(10)
        ),
        "fedgen": Package("generator", dict(generator.state_dict()), counts=torch.arange(10)),
        "fedcad": Package("credibility", {"values": torch.linspace(0, 1, 10)[:, None]}),
        "fedssd": Package("credibility", {"values": torch.linspace(0, 1, 10)[:, None]}),
        "fedgkd": Package("weights", {name: 0.9 * each for name, each in network.state_dict().items()}),
        "fd": Package("class_means", {"values": torch.eye(10)}, counts=torch.arange(10)),
    }


def two_rounds(side: ClientSide, clients: Sequence[int], package: Package | None) -> list[list[RecordDict]]:
    """Return what clients answer in a round without and a round with knowledge."""
    states = {client: RecordDict() for client in clients}
    answers = []
    for number, received in ((1, None), (2, package)):
        mail = Mail(message(number, received))
        outcomes = train_together(side, [Turn(client, mail, states[client]) for client in clients])
        answers.append([require(outcome) for outcome in outcomes])
    return answers


def require(outcome: RecordDict | Exception) -> RecordDict:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def apart(one: RecordDict, other: RecordDict, *, whole: bool = False) -> float:
    """Return the largest difference of two answers, relative to the largest number of its tensor, or of the whole answer."""
    first, second = from_records(one).arrays, from_records(other).arrays
    assert first.keys() == second.keys()
    scales = {name: float(second[name].abs().max()) for name in first}
    largest = max(scales.values())
    return max(
        float((first[name] - second[name]).abs().max()) / max(largest if whole else scales[name], 1e-6)
        for name in first
    )


@pytest.mark.parametrize(("name", "model"), fitting())
def test_both_engines_give_the_same_weights_for_every_strategy_and_model(
    name: str, model: str, client_side: Maker, digits: FederatedData
) -> None:
    data = unequal(digits)
    strategy = strategies(GENTLE if model == "resnet" else PLAN)[name]
    side = client_side(strategy, data=data, kind=Weights(), models=((MODELS | EXITS)[model],) * len(SIZES))
    order = [3, 0, 2, 5, 1, 4]
    package = packages(side, digits).get(name)
    plain = two_rounds(replace(side, engine=Sequential()), order, package)
    at_once = two_rounds(replace(side, engine=Vectorised()), order, package)
    for number in (0, 1):
        for one, other in zip(at_once[number], plain[number], strict=True):
            assert apart(one, other, whole=model == "resnet") < 1e-4
            ours, theirs = (float(str(said["metrics"]["train-loss"])) for said in (one, other))
            assert ours == pytest.approx(theirs, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize("kind", [Logits(), ClassMeans()])
def test_what_is_shared_and_how_good_clients_are_is_the_same(
    kind: Logits | ClassMeans, client_side: Maker, digits: FederatedData
) -> None:
    side = client_side(
        Supervised(fit=PLAN), data=unequal(digits), kind=kind, models=(MODELS["mlp"],) * len(SIZES)
    )
    said = []
    for engine in (Sequential(), Vectorised()):
        states = {client: RecordDict() for client in range(len(SIZES))}
        own = replace(side, engine=engine)
        mail = Mail(message(1))
        shared = train_together(own, [Turn(client, mail, states[client]) for client in states])
        config = ConfigRecord({"server-round": 1, "splits": ["validation", "test"]})
        judged = evaluate_together(
            own, [Turn(client, Mail(RecordDict({"config": config})), states[client]) for client in states]
        )
        said.append(([require(one) for one in shared], [require(one) for one in judged]))
    for one, other in zip(said[0][0], said[1][0], strict=True):
        assert apart(one, other) < 1e-4
    for one, other in zip(said[0][1], said[1][1], strict=True):
        for split in ("validation", "test"):
            np.testing.assert_allclose(
                one["predictions"][split].numpy(), other["predictions"][split].numpy(), rtol=1e-3, atol=1e-4
            )


def test_clients_that_see_their_images_each_in_their_own_way_do_so_at_once_too(
    client_side: Maker, digits: FederatedData
) -> None:
    shift = Feature(kind="rotation", strength=45.0).shift(4, Streams(0))
    side = client_side(Supervised(fit=PLAN), data=replace(digits, shift=shift), kind=Weights())
    plain, at_once = (
        two_rounds(replace(side, engine=engine), range(4), None) for engine in (Sequential(), Vectorised())
    )
    assert max(apart(one, other) for one, other in zip(at_once[0], plain[0], strict=True)) < 1e-4


@dataclass(frozen=True, kw_only=True)
class Deciding(Supervised):
    """Decides by a value, which no vectorised engine can, and notes what a cohort held by then."""

    held: ClassVar[list[weakref.ref[Tensor]]] = []

    def train_loss(self, step: Step) -> Tensor:
        loss = F.cross_entropy(step.outputs.logits, step.targets)
        if torch._C._functorch.is_functorch_wrapped_tensor(loss):
            self.held.append(weakref.ref(loss))
        else:
            assert all(one() is None for one in self.held)
        return loss * 2 if float(loss.detach()) > 1.0 else loss


def test_a_loss_that_cannot_be_vectorised_falls_back_to_one_client_after_the_other_and_says_so(
    client_side: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    side = client_side(Deciding(fit=PLAN), kind=Weights())
    at_once = two_rounds(replace(side, engine=Vectorised()), range(4), None)
    assert "4 clients are trained one after the other" in caplog.text
    assert Deciding.held
    plain_ = two_rounds(side, range(4), None)
    assert max(apart(one, other) for one, other in zip(at_once[0], plain_[0], strict=True)) == 0.0


class Hungry(nn.Module):
    """Needs more memory than there is when more than two clients are at it at once, and notes what it held by then."""

    held: ClassVar[list[weakref.ref[Tensor]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.head.bias
        while torch._C._functorch.is_functorch_wrapped_tensor(inside):
            inside = torch._C._functorch.get_unwrapped(inside)
        if inside.ndim == 2 and len(inside) > 2:
            taken = torch.zeros(1)
            self.held.append(weakref.ref(taken))
            torch.empty(2**60)
        assert all(one() is None for one in self.held)
        return self.head(x.flatten(1))


@dataclass(frozen=True, kw_only=True)
class Hungrily(Model):
    """A recipe for the hungry network."""

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        del shape, num_outputs
        return Hungry()


def test_a_cohort_that_does_not_fit_into_memory_falls_back_to_halves_and_gives_the_same(
    client_side: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    side = client_side(Supervised(fit=PLAN), kind=Weights(), models=(Hungrily(),) * 4)
    at_once = two_rounds(replace(side, engine=Vectorised()), range(4), None)
    assert (
        caplog.text.count("4 clients at once need more memory than there is; they go on in two halves") == 2
    )
    assert "one after the other" not in caplog.text
    assert Hungry.held
    plain_ = two_rounds(side, range(4), None)
    assert max(apart(one, other) for one, other in zip(at_once[0], plain_[0], strict=True)) < 1e-4


def test_a_client_whose_message_is_wrong_fails_alone(client_side: Maker, digits: FederatedData) -> None:
    side = replace(client_side(Supervised(fit=PLAN), kind=Weights()), engine=Vectorised())
    wrong = Package("weights", {"head.weight": torch.zeros(10, 3), "head.bias": torch.zeros(10)})
    sent = to_records(wrong, Float32())["arrays"]
    turns = [Turn(client, Mail(message(1)), RecordDict()) for client in range(4)]
    turns[2] = Turn(2, Mail(RecordDict({**message(1), "weights": sent})), RecordDict())
    outcomes = train_together(side, turns)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
    assert "head.weight" in str(outcomes[2])
    alone = train_together(side, [turns[0], turns[1], turns[3]])
    assert len(digits.assignments) == 4
    assert max(apart(require(outcomes[a]), require(alone[b])) for a, b in ((0, 0), (1, 1), (3, 2))) < 1e-5
