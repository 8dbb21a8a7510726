"""Measuring on this machine which engine is faster for an experiment's clients, so that `engine=auto` need not go by its rule.

>>> for one in calibrate(Experiment.from_config(compose(["model=lenet"]))):
...     print(one.name, one.ratio)
lenet 0.7
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from flwr.app import ConfigRecord, RecordDict

from fedkd import engine
from fedkd.assembly.build import client_side, load
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.networks import client_architectures
from fedkd.engine import ClientSide, Turn
from fedkd.engine.calibration import remember
from fedkd.engine.engines.base import TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import LARGEST, Vectorised
from fedkd.engine.mail import CONFIG, Mail
from fedkd.models.base import identity

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
    def ratio(self) -> float:
        """How many times as fast the vectorised engine is: the median over repeats, each of which timed both."""
        pairs = zip(self.sequential, self.vectorised, strict=True)
        return statistics.median(plain / at_once for plain, at_once in pairs)


def calibrate(experiment: Experiment) -> Iterator[Measured]:
    """Time the first round of some clients of each architecture under both engines, and remember which was faster.

    Raises:
        RunFolderError: the verdict cannot be stored.
    """
    data = load(experiment)
    side = client_side(experiment, data)
    shape = next(iter(data.info.views.values()))
    for name, model in client_architectures(experiment).items():
        clients = [
            client for client, own in enumerate(side.models) if own == model and len(data.assignments[client])
        ][:LARGEST]
        plain, at_once = [], []
        _seconds(side, Sequential(), clients[:2])  # what is only slow once
        _seconds(side, Vectorised(), clients[:2])
        for _ in range(REPEATS):
            plain.append(_seconds(side, Sequential(), clients))
            at_once.append(_seconds(side, Vectorised(), clients))
        measured = Measured(name, tuple(plain), tuple(at_once))
        batch = experiment.method.client.fit.batch_size
        remember(identity(model), shape, batch, side.device, vectorised=measured.ratio > 1.0)
        yield measured


def _seconds(side: ClientSide, chosen: TrainingEngine, clients: list[int]) -> float:
    mail = Mail(RecordDict({CONFIG: ConfigRecord({"server-round": 1})}))
    turns = [Turn(client, mail, RecordDict()) for client in clients]
    begun = time.perf_counter()
    for outcome in engine.train_together(replace(side, engine=chosen), turns):
        if isinstance(outcome, Exception):
            raise outcome
    return time.perf_counter() - begun
