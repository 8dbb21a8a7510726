"""What clients do with Flower messages: train and share, or evaluate. The same code under every runtime.

A cohort of clients is handled at once; those of one architecture with the same stages are trained together where the
engine says so. What goes wrong for one client is that client's failure alone.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from torch import Tensor

from fedkd.aggregation.evidence import evidence_of
from fedkd.engine.beginning import COPIES_UP, MODEL, Begun, Turn, alike, begin, weights_of
from fedkd.engine.client import ClientSide
from fedkd.engine.evaluating import METRICS, NUM_EXAMPLES, evaluation_replies
from fedkd.engine.mail import Mail, encode
from fedkd.engine.memory import let_go, out_of_memory
from fedkd.engine.stacked import predict_own, predict_stacked, stack
from fedkd.engine.stages import Fitted, train_alone, train_group
from fedkd.engine.vectorised import bears_vmap
from fedkd.knowledge import Package, to_records
from fedkd.knowledge.arrays import arrays_in, filled
from fedkd.knowledge.copies import Copies, send
from fedkd.models.base import Model, identity

_LOG = logging.getLogger(__name__)

Outcome = RecordDict | Exception
"""What a client answers, or what went wrong for it."""

Judged = tuple[Model, Mapping[str, Tensor]]
"""The model with which a client is judged, and its weights and buffers."""

_One = TypeVar("_One")


def train(side: ClientSide, client: int, content: RecordDict, state: RecordDict) -> RecordDict:
    """Run one client's round and return what it shares; see `train_together`."""
    return _only(train_together(side, [Turn(client, Mail(content), state)]))


def evaluate(side: ClientSide, client: int, content: RecordDict, state: RecordDict) -> RecordDict:
    """Return one client's evaluation; see `evaluate_together`."""
    return _only(evaluate_together(side, [Turn(client, Mail(content), state)]))


def train_together(side: ClientSide, turns: Sequence[Turn]) -> list[Outcome]:
    """Run the round of a cohort of clients and return what each shares.

    Args:
        side: the client side of the run.
        turns: the clients, with their messages and what they keep between rounds, which is changed in place.
    """
    outcomes: dict[int, Outcome] = {}
    begun: dict[int, Begun] = {}
    for place, turn in enumerate(turns):
        try:
            begun[place] = begin(side, turn)
        except Exception as error:  # noqa: BLE001  (strategies are the user's: whatever they raise is that client's failure)
            outcomes[place] = error
    for places in alike(side, begun):
        outcomes |= zip(places, _train_alike(side, [begun[place] for place in places]), strict=True)
    return [outcomes[place] for place in range(len(turns))]


def _train_alike(side: ClientSide, group: list[Begun]) -> list[Outcome]:
    """Train clients of one architecture and the same stages, at once where that can be done."""
    model = side.models[group[0].client]
    at_once = (
        side.strategy.vectorises
        and side.engine.vectorises(identity(model))
        and bears_vmap(side.template(model))
    )
    if len(group) == 1 or not at_once:
        return [_train_one(side, one) for one in group]
    try:
        fitted = train_group(side, group)
    except Exception as error:  # noqa: BLE001  (not every network and loss can be vectorised, and one client may be at fault)
        parts = _parts(group, error, "trained")
    else:
        return [_finish(side, one, result) for one, result in zip(group, fitted, strict=True)]
    # Not in the block above, where the exception holds all that the whole cohort took.
    return [outcome for part in parts for outcome in _train_alike(side, part)]


def _parts(group: Sequence[_One], error: Exception, done: str) -> list[list[_One]]:
    """Return in which parts clients go on that could not be handled at once: in halves if memory ran out, or else each alone."""
    if out_of_memory(error):
        _LOG.warning(
            "%d clients at once need more memory than there is; they go on in two halves", len(group)
        )
        middle = len(group) // 2
        return [[*group[:middle]], [*group[middle:]]]
    # Not the exception, which a handler that keeps its records would keep too.
    _LOG.warning("%d clients are %s one after the other, since at once: %s", len(group), done, str(error))
    return [[one] for one in group]


def _train_one(side: ClientSide, one: Begun) -> Outcome:
    try:
        fitted = train_alone(side, one)
    except Exception as error:  # noqa: BLE001  (see train_together)
        return let_go(error)
    return _finish(side, one, fitted)


def _finish(side: ClientSide, one: Begun, fitted: Fitted) -> Outcome:
    """Return what a trained client shares, and keep its network if it is to be kept."""
    mail, records = one.turn.mail, dict[str, Any]()
    try:
        if side.kind is not None:
            ids = None
            if side.kind.needs_proxy:
                ids = side.proxy().ids if mail.asked is None else mail.asked
            records |= _say(side, one.turn, side.kind.extract(fitted.trained, ids))
        records |= _evidence(side, one, fitted)
    except Exception as error:  # noqa: BLE001  (kinds and codecs are the user's too)
        return let_go(error)
    if side.strategy.persistent or mail.options.get("keep", False):
        one.turn.state[MODEL] = encode(fitted.trained.state)
    size = len(side.data.assignments[one.client])
    records[METRICS] = filled(MetricRecord(), {NUM_EXAMPLES: size, "train-loss": fitted.loss})
    return filled(RecordDict(), records)


def _say(side: ClientSide, turn: Turn, package: Package) -> Mapping[str, ArrayRecord | ConfigRecord]:
    """Return the records of what a client says; it keeps a copy where it will send differences to it."""
    if not side.codec.remembers:
        return to_records(package, side.codec)
    records, copies = send(package, side.codec, Copies.of(arrays_in(turn.state, COPIES_UP)))
    turn.state[COPIES_UP] = copies.record()
    return records


def _evidence(side: ClientSide, one: Begun, fitted: Fitted) -> dict[str, ArrayRecord]:
    """Return what a client says about itself for the sake of the weighting, about the samples that it was asked about."""
    if not side.weighting.sends:
        return {}
    mail = one.turn.mail
    ids = side.proxy().ids if mail.asked is None else mail.asked
    # The same in every round: noise that protects what does not change is drawn once, and its cost is paid once.
    generator = side.streams.torch("evidence", client=one.client)
    return evidence_of(side.weighting, fitted.trained, ids, generator)


def evaluate_together(side: ClientSide, turns: Sequence[Turn]) -> list[Outcome]:
    """Return each client's metrics on its own held-out samples and its raw outputs on the global splits that are asked for.

    A client without a network of its own (it was never trained, or keeps none) evaluates the weights in the message, or
    its initial ones. Where clients are judged with a network of the server's behind their own (`ClientSide.judged`), that comes with the message.
    """
    outcomes: dict[int, Outcome] = {}
    groups: dict[tuple[str, tuple[str, ...]], dict[int, Judged]] = {}
    for place, turn in enumerate(turns):
        try:
            weights = weights_of(side, turn, kept=MODEL in turn.state)
            if MODEL in turn.state and not side.strategy.persistent:
                del turn.state[MODEL]
            splits = tuple(str(split) for split in turn.mail.options.get("splits", []))
            judged = side.as_judged(turn.client, weights, turn.mail.weights)
            groups.setdefault((identity(judged[0]), splits), {})[place] = judged
        except Exception as error:  # noqa: BLE001  (see train_together)
            outcomes[place] = error
    for (architecture, splits), by_place in groups.items():
        together = side.engine.vectorises(architecture) and len(by_place) > 1
        pieces = [by_place] if together else [{place: own} for place, own in by_place.items()]
        for piece in pieces:
            outcomes |= _evaluate_alike(side, splits, turns, piece)
    return [outcomes[place] for place in range(len(turns))]


def _evaluate_alike(
    side: ClientSide, splits: tuple[str, ...], turns: Sequence[Turn], judged: Mapping[int, Judged]
) -> dict[int, Outcome]:
    """Return the evaluations of clients of one architecture that are asked about the same splits, each alone where at once one fails."""
    clients = [turns[place].client for place in judged]
    try:
        return dict(zip(judged, _evaluations(side, splits, clients, [*judged.values()]), strict=True))
    except Exception as error:  # noqa: BLE001  (see train_together)
        if len(judged) == 1:
            return dict.fromkeys(judged, let_go(error))
        parts = _parts([*judged], error, "evaluated")
    outcomes: dict[int, Outcome] = {}
    for part in parts:
        outcomes |= _evaluate_alike(side, splits, turns, {place: judged[place] for place in part})
    return outcomes


def _evaluations(
    side: ClientSide, splits: tuple[str, ...], clients: Sequence[int], judged: Sequence[Judged]
) -> list[RecordDict]:
    """Return the evaluations of clients of one architecture, all at once."""
    template = side.template(judged[0][0])
    here = [{name: tensor.to(side.device) for name, tensor in own.items()} for _, own in judged]
    stacks = stack(here)
    everyone = {"validation": side.data.validation, "test": side.data.test}
    asked = {split: everyone[split] for split in splits}
    owns = [side.data.client_holdout(client) for client in clients]
    own_answers = []
    # Networks of clients without held-out samples say nothing.
    own_outputs = predict_own(template, stacks, [side.resident(own).inputs for own in owns])
    for own, outputs in zip(owns, own_outputs, strict=True):
        own_answers.append((outputs.cpu() if len(own) else torch.empty(0, 1), own.targets))
    said = {
        split: predict_stacked(
            template, stacks, side.resident(samples).inputs, together=None if len(clients) > 1 else False
        ).cpu()
        for split, samples in asked.items()
    }
    targets = {split: samples.targets for split, samples in asked.items()}
    return evaluation_replies(side.task, said, targets, own_answers)


def _only(outcomes: list[Outcome]) -> RecordDict:
    [outcome] = outcomes
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
