"""How a client's round begins: which weights it starts from, what it remembers, which stages it will go through."""

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flwr.app import RecordDict
from jaxtyping import Float, Shaped
from torch import Tensor

from fedkd.clients import Situation, Stage
from fedkd.engine.client import ClientSide
from fedkd.engine.mail import HOLD, Mail, decode, encode
from fedkd.engine.trained import Trained
from fedkd.knowledge import Package
from fedkd.knowledge.arrays import arrays_in
from fedkd.knowledge.copies import Copies
from fedkd.knowledge.kinds.updates import UPDATES, updated
from fedkd.models.base import Outputs

MODEL = "fedkd.model"
"""Record of a client's state that holds its network."""

COPIES_UP, COPIES_DOWN = "fedkd.copies.up", "fedkd.copies.down"
"""Records of a client's state that hold copies of what it said last and of what it was told, where a codec needs them."""


SENT = "fedkd.sent"
"""Record of a client's state that holds the weights that it was sent last, where the next message says only what has changed of them."""


@dataclass(frozen=True, eq=False)
class Turn:
    """A client whose turn it is: what it was sent, and what it keeps between rounds."""

    client: int
    mail: Mail
    state: RecordDict


@dataclass(frozen=True, eq=False)
class Begun:
    """A client that is ready to train.

    Args:
        turn: the client.
        received: knowledge that came with the round, if any.
        weights: its network's weights and buffers; not to be written to.
        memory: what its strategy remembers, where it trains.
        stages: what it will go through.
        teacher: weights and buffers of the network that teaches it on its own samples, if there is one.
        told: what it was told about its own samples, in their order, if it was; in log space.
    """

    turn: Turn
    received: Package | None
    weights: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]
    stages: tuple[Stage, ...]
    teacher: Mapping[str, Tensor] | None
    told: Float[Tensor, "n ... outputs"] | None = None

    @property
    def client(self) -> int:
        """Number of the client's partition."""
        return self.turn.client


def begin(side: ClientSide, turn: Turn) -> Begun:
    """Make a client ready; it starts from the network that it kept, from what it was sent, or from its initial weights."""
    first = MODEL not in turn.state
    kept = side.strategy.persistent and not first
    weights = weights_of(side, turn, kept=kept)
    learned = side.layout(side.models[turn.client]).parameters
    received = _received(turn)
    situation = Situation(
        first,
        received,
        {name: weights[name].to(side.device) for name in learned},
        side.streams.torch("remember", round=turn.mail.round, client=turn.client),
        turn.mail.round,
        functools.partial(_held_out, side, turn.client, weights),
    )
    memory = {name: tensor.to(side.device) for name, tensor in side.strategy.remember(situation).items()}
    named = side.strategy.teacher(situation)
    teacher = None if named is None else _fitting({**weights, **named}, side, turn.client)
    told = None
    if received is not None and side.strategy.told_of_own:
        told = received.scores_of(side.data.client_ids(turn.client))
    return Begun(turn, received, weights, memory, side.strategy.stages(situation), teacher, told)


def _held_out(
    side: ClientSide, client: int, weights: Mapping[str, Tensor]
) -> tuple[Outputs, Shaped[Tensor, "n ..."]] | None:
    """Return what a network with these weights says of the client's held-out samples, and their targets."""
    own = side.data.client_holdout(client)
    if not len(own):
        return None
    network = side.template(side.models[client])
    return Trained.of(side, client, network, weights).outputs(own), own.targets


def _received(turn: Turn) -> Package | None:
    """Return the knowledge that came with the round, updates of weights aside; a client keeps a copy where the next one will refer to it."""
    if turn.client in turn.mail.forgetful:
        for name in (COPIES_UP, COPIES_DOWN):
            turn.state.pop(name, None)
    if not turn.mail.refers_to_copies:
        package = turn.mail.package
        return None if package is not None and package.kind == UPDATES else package
    package, copies = turn.mail.read(Copies.of(arrays_in(turn.state, COPIES_DOWN)))
    turn.state[COPIES_DOWN] = copies.record()
    return package


def weights_of(side: ClientSide, turn: Turn, *, kept: bool) -> Mapping[str, Tensor]:
    """Return the weights and buffers of a client's network: those that it kept, was sent, or begins with."""
    sent = _sent(turn)
    kept_network = arrays_in(turn.state, MODEL)
    if kept and kept_network is not None:
        own = _fitting(decode(kept_network), side, turn.client)
        # Where one network of several is the server's, it is taken up anew whenever it comes.
        return own if sent is None or not side.shared else _taken_up(own, sent, side, turn)
    own = side.initial_weights(turn.client)
    return own if sent is None else _taken_up(own, sent, side, turn)


def _sent(turn: Turn) -> Mapping[str, Tensor] | None:
    """Return the weights that came, whole or as what has changed since the last ones; a client keeps them where the next ones may be sent so."""
    mail, sent = turn.mail, turn.mail.weights
    if not mail.refers_to_copies and mail.package is not None and mail.package.kind == UPDATES:
        before = arrays_in(turn.state, SENT)
        if before is None:
            raise ValueError("was sent what has changed of weights that are not here")
        sent = updated(decode(before), mail.package.arrays)
    if sent is not None and mail.options.get(HOLD, False):
        turn.state[SENT] = encode(sent)
    return sent


def _taken_up(
    own: Mapping[str, Tensor], sent: Mapping[str, Tensor], side: ClientSide, turn: Turn
) -> Mapping[str, Tensor]:
    return _fitting(side.arriving(own, sent), side, turn.client)


def _fitting(weights: Mapping[str, Tensor], side: ClientSide, client: int) -> Mapping[str, Tensor]:
    """Refuse weights that are not those of the client's network, as `load_state_dict` does."""
    own = side.layout(side.models[client]).shapes
    if weights.keys() != own.keys():
        odd = min(weights.keys() ^ own.keys())
        raise ValueError(f"weights {odd!r} are {'missing' if odd in own else 'not of this network'}")
    for name, shape in own.items():
        if weights[name].shape != shape:
            raise ValueError(
                f"weights {name!r} have shape {list(weights[name].shape)}, this network's have {list(shape)}"
            )
    return weights


def alike(side: ClientSide, begun: Mapping[int, Begun]) -> list[list[int]]:
    """Return the places of the clients that can be trained at once, group by group."""
    groups: dict[Hashable, list[int]] = {}
    for place, one in begun.items():
        groups.setdefault(_signature(side, place, one), []).append(place)
    return list(groups.values())


def _signature(side: ClientSide, place: int, one: Begun) -> Hashable:
    """Return what clients must have in common to be trained at once; a place of its own where that cannot be told."""
    memory = sorted((name, tuple(tensor.shape), str(tensor.dtype)) for name, tensor in one.memory.items())
    signature: tuple[Any, ...] = (
        repr(side.models[one.client]),
        one.turn.mail.round,
        one.stages,
        tuple(memory),
        one.teacher is None,
        one.told is None,
    )
    try:
        hash(signature)
    except TypeError:
        return place
    return signature


def turns_of(
    clients: Sequence[int], contents: Sequence[RecordDict], states: Sequence[RecordDict]
) -> list[Turn]:
    """Return the turns of a cohort; a content that several clients were sent is decoded once."""
    mails: dict[int, Mail] = {}
    return [
        Turn(client, mails.setdefault(id(content), Mail(content)), state)
        for client, content, state in zip(clients, contents, states, strict=True)
    ]
