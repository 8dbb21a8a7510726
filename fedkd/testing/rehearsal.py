"""Rehearsing a client strategy: what it can receive, the batches its losses see, and whole runs of all clients.

>>> [one.said for one in rounds(FedProx(), digits())]
['nothing', 'logits', 'probabilities', 'class means']
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import nn

from fedkd.clients import ClientStrategy, Situation, Stage, Step
from fedkd.data.federated import FederatedData
from fedkd.engine import ClientSide, train, train_together, turns_of
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.mail import CONFIG, WEIGHTS
from fedkd.foundation.parts import build, dump
from fedkd.foundation.seeding import Streams
from fedkd.knowledge import Package, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.models._generator import FeatureGenerator, Sizes
from fedkd.models.base import observe, predict, run_network
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.testing.contract import one_line, require
from fedkd.testing.ground import CLIENTS, USUAL, client_side

NOTHING = "nothing"


@dataclass(frozen=True)
class Scene:
    """A stage of a round, the network that it trains, and a batch of it."""

    stage: Stage
    network: nn.Module
    step: Step

    def of_size(self, size: int) -> Step:
        """Return the first samples of the batch."""
        return self.of_samples(slice(size))

    def of_samples(self, some: slice) -> Step:
        """Return some samples of the batch."""
        step = self.step
        outputs = step.outputs.each(lambda said: said[some])
        teacher = None if step.teacher is None else step.teacher[some]
        public = None if step.public is None else step.public.each(lambda said: said[some])
        targets = step.targets[some]
        return replace(step, outputs=outputs, targets=targets, teacher=teacher, public=public)


@dataclass(frozen=True)
class Round:
    """A client's round: the kind of knowledge that was received, and a scene for each stage."""

    said: str
    scenes: tuple[Scene, ...]


def everything_said(side: ClientSide) -> dict[str, Package | None]:
    """Return one package of each kind that a server sends to the clients of this side, beside nothing at all."""
    data, network = side.data, side.network(USUAL)
    about = data.train if side.strategy.told_of_own else data.proxy
    assert about is not None
    outputs, generator = data.info.num_outputs, Streams(0).torch("said")
    logits = torch.randn(len(about), outputs, generator=generator)
    said: dict[str, Package | None] = {
        NOTHING: None,
        "logits": Package("logits", {"values": logits}, ids=about.ids),
        "weights": Package("weights", {name: 0.9 * each for name, each in network.state_dict().items()}),
    }
    if data.info.targets.one_class:
        means = torch.randn(outputs, outputs, generator=generator)
        counts = torch.arange(outputs)  # nobody has said anything about class 0
        said["probabilities"] = Package("probabilities", {"values": logits.softmax(dim=-1)}, ids=about.ids)
        width = observe(network, data.validation.inputs).features.shape[-1]
        prototypes = torch.rand(outputs, width, generator=generator)
        credible = torch.rand(outputs, 1, generator=generator)
        said["credibility"] = Package("credibility", {"values": credible})
        with Streams(0).initialising("said"):
            generator_of_features = FeatureGenerator(Sizes(outputs, 4, 8, width))
        said["generator"] = Package("generator", dict(generator_of_features.state_dict()), counts=counts)
        said["prototypes"] = Package("prototypes", {"values": prototypes}, counts=counts)
        said["class means"] = Package("class_means", {"values": means}, counts=counts)
    return said


def takes(strategy: ClientStrategy, data: FederatedData) -> dict[str, Package | None]:
    """Return what the strategy can receive: nothing, and the kinds that it does not refuse.

    Raises:
        Broken: it cannot do without knowledge, as a first round must, or takes no kind of it.
    """
    side = client_side(strategy, data)
    taken: dict[str, Package | None] = {}
    refused = {}
    for said, package in everything_said(side).items():
        if package is not None and package.kind not in strategy.receives:
            continue
        situation = _situation(side.network(USUAL), package)
        try:
            strategy.remember(situation)
            strategy.teacher(situation)
            stages = strategy.stages(situation)
        except Exception as error:  # noqa: BLE001  (however it is refused: this kind is not meant for it)
            refused[said] = one_line(error)
            continue
        if any(stage.source == "proxy" for stage in stages) and (package is None or package.ids is None):
            refused[said] = "it has a stage on the proxy set, about which nothing was received"
            continue
        taken[said] = package
    require(NOTHING in taken, f"a round in which nothing was received fails: {refused.get(NOTHING)}")
    reasons = "; ".join(f"{said}: {reason}" for said, reason in refused.items())
    require(len(taken) > 1, f"it takes no kind of knowledge ({reasons})")
    return taken


def rounds(strategy: ClientStrategy, data: FederatedData, client: int = USUAL) -> Iterator[Round]:
    """Yield a round of a client for each kind of knowledge that the strategy takes."""
    side = client_side(strategy, data)
    for said, package in takes(strategy, data).items():
        situation = _situation(side.network(USUAL), package)
        scenes = (_scene(side, client, stage, situation) for stage in strategy.stages(situation))
        yield Round(said, tuple(scenes))


def replies(
    strategy: ClientStrategy,
    data: FederatedData,
    clients: Sequence[int] = CLIENTS,
    *,
    moved: bool = False,
    together: bool = False,
) -> dict[str, dict[int, list[RecordDict]]]:
    """Return what clients answer in two rounds, for each kind of knowledge that the second one brings.

    Args:
        strategy: what they do.
        data: what they have.
        clients: who takes part, in this order.
        together: they are trained at once.
        moved: between the rounds the clients go to another process: strategy and state are written and read again.
    """
    everything = {}
    for said, package in takes(strategy, data).items():
        side, answers = client_side(strategy, data), dict[int, list[RecordDict]]()
        states = {client: RecordDict() for client in clients}
        for number, received in enumerate((None, package), start=1):
            message = _message(side, number, received)
            if together:
                turns = turns_of(clients, [message] * len(clients), [states[client] for client in clients])
                outcomes = train_together(replace(side, engine=Vectorised()), turns)
            else:
                outcomes = [train(side, client, message, states[client]) for client in clients]
            for client, outcome in zip(clients, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    raise outcome
                answers.setdefault(client, []).append(outcome)
            if moved:
                side = client_side(build(type(strategy), dump(strategy), key="client"), data)
                states = {client: deserialise(serialise(state)) for client, state in states.items()}
        everything[said] = answers
    return everything


def in_bytes(answers: dict[str, dict[int, list[RecordDict]]]) -> dict[tuple[str, int], list[bytes]]:
    """Return answers as they cross the wire, by kind of knowledge and client."""
    return {
        (said, client): [serialise(reply) for reply in by_round]
        for said, by_client in answers.items()
        for client, by_round in by_client.items()
    }


def _message(side: ClientSide, number: int, received: Package | None) -> RecordDict:
    knowledge = {} if received is None else to_records(received, Float32())
    start = ArrayRecord(dict(side.crossing(side.network(USUAL).state_dict())))
    return RecordDict({**knowledge, WEIGHTS: start, CONFIG: ConfigRecord({"server-round": number})})


def _situation(network: nn.Module, package: Package | None) -> Situation:
    start = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    draw = Streams(0).torch("remember")
    return Situation(first=package is None, received=package, start=start, draw=draw)


def _scene(side: ClientSide, client: int, stage: Stage, situation: Situation) -> Scene:
    network = side.network(USUAL)
    with torch.no_grad():  # away from the start, where a distance from it would have no gradient
        for weight in network.parameters():
            weight.mul_(1.1)
    received = situation.received
    samples = side.data.client_train(client) if stage.source == "private" else side.proxy()
    teacher = None
    if stage.source == "proxy":
        assert received is not None
        teacher = received.scores()
    named = side.strategy.teacher(situation)
    if stage.source == "private" and named is not None:
        taught = side.network(USUAL)
        taught.load_state_dict({**taught.state_dict(), **named})
        teacher = predict(taught, samples.inputs)
    if stage.source == "private" and received is not None and side.strategy.told_of_own:
        teacher = received.scores_of(samples.ids)
    memory, weights = side.strategy.remember(situation), dict(network.named_parameters())
    outputs, public = run_network(network, samples.inputs), None
    if stage.paired:
        places = torch.arange(len(samples)) % len(side.proxy())
        public = run_network(network, side.proxy().take(places).inputs)
    return Scene(
        stage,
        network,
        Step(outputs, samples.targets, teacher, weights, memory, side.task, public=public),
    )
