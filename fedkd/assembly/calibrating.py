"""Measuring on this machine which engine is faster for an experiment's clients, so that `engine=auto` need not go by its rule.

>>> for one in calibrate(compose(["model=lenet"])):
...     print(one.name, one.ratio)
lenet 0.7
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flwr.app import ConfigRecord, RecordDict

from fedkd import engine
from fedkd.assembly.build import client_side, load
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.networks import client_architectures
from fedkd.assembly.settling import questions
from fedkd.engine import ClientSide, Turn
from fedkd.engine.beginning import alike, begin
from fedkd.engine.calibration import remember
from fedkd.engine.engines import ENGINES
from fedkd.engine.engines.base import Question, Work
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.mail import CONFIG, Mail
from fedkd.engine.stages import train_group
from fedkd.engine.vectorised import bears_vmap

REPEATS = 5


@dataclass(frozen=True)
class Measured:
    """What was measured for one architecture.

    Args:
        name: the architecture, as its recipe calls it.
        sequential, vectorised: seconds that its clients' round took, by repeat.
    """

    name: str
    sequential: tuple[float, ...]
    vectorised: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times as fast the vectorised engine was in each repeat, which timed both."""
        return [plain / at_once for plain, at_once in zip(self.sequential, self.vectorised, strict=True)]

    @property
    def ratio(self) -> float:
        """How many times as fast the vectorised engine is: the median over repeats."""
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> bool | None:
        """Whether the vectorised engine is faster; None where it was in some repeats and was not in others."""
        faster = {ratio > 1.0 for ratio in self.ratios}
        return faster.pop() if len(faster) == 1 else None


@dataclass(frozen=True)
class Skipped:
    """An architecture whose clients cannot be trained at once, so that there is nothing to choose.

    Args:
        name: the architecture, as its recipe calls it.
        reason: why, in words.
    """

    name: str
    reason: str


def calibrate(config: Mapping[str, Any]) -> Iterator[Measured | Skipped]:
    """Time the first round of each architecture's clients under both engines, with the config's options of engines, and remember which was faster.

    Raises:
        InvalidOption: an option that is none, as for a run.
        IllegalCombination: options that cannot work together, as for a run.
        RunFolderError: the verdict cannot be stored.
    """
    experiment = Experiment.from_config(config)
    asked = list(questions(experiment))
    at_once = ENGINES.create({**config["engine"], "name": "vectorised"}, key="engine").chosen(asked)
    data = load(experiment)
    plainly = replace(client_side(experiment, data), engine=Sequential(precision=at_once.precision))
    together = replace(plainly, engine=at_once)
    for question, (name, model) in zip(asked, client_architectures(experiment).items(), strict=True):
        clients = [
            client
            for client, own in enumerate(plainly.models)
            if own == model and len(data.assignments[client])
        ][: question.clients]
        reason = _why_not(together, question, clients)
        if reason is not None:
            yield Skipped(name, reason)
            continue
        times = []
        for repeat in range(1 + REPEATS):
            pair = _seconds(plainly, clients), _seconds(together, clients)
            if repeat:  # the first one has what is only slow once
                times.append(pair)
        measured = Measured(name, *map(tuple, zip(*times, strict=True)))
        remember(question, at_once, vectorised=measured.verdict)
        yield measured


def _why_not(side: ClientSide, question: Question, clients: Sequence[int]) -> str | None:
    """Return why these clients cannot be trained at once, or None if two of them just were."""
    if not question.together:
        return "its strategy or the runtime has clients trained one after the other"
    if not bears_vmap(question.network):
        return "networks with BatchNorm or recurrent layers are trained one after the other"
    begun = {place: begin(side, turn) for place, turn in enumerate(_turns(clients))}
    pairs = [places[:2] for places in alike(side, begun) if len(places) > 1]
    if not pairs:
        return "no two clients of a round can be trained at once"
    try:
        train_group(side, [begun[place] for place in pairs[0]])
    except Exception as error:  # noqa: BLE001  (whatever a network or a loss raises, a run trains its clients one after the other)
        return f"its clients are trained one after the other, since at once: {' '.join(str(error).split())[:300]}"
    return None


def _turns(clients: Sequence[int]) -> list[Turn]:
    mail = Mail(RecordDict({CONFIG: ConfigRecord({"server-round": 1})}))
    return [Turn(client, mail, RecordDict()) for client in clients]


def _seconds(side: ClientSide, clients: Sequence[int]) -> float:
    """Return how long a round of these clients takes, in the cohorts of the side's engine."""
    works = [Work(repr(side.models[client]), len(side.data.assignments[client])) for client in clients]
    cohorts, turns = side.engine.cohorts(works), _turns(clients)
    begun = time.perf_counter()
    for cohort in cohorts:
        for outcome in engine.train_together(side, [turns[place] for place in cohort]):
            if isinstance(outcome, Exception):
                raise outcome
    return time.perf_counter() - begun
