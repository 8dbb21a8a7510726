"""Where a worker's time goes: PyTorch's profiler over a round of some clients of a workload, in this process on one thread.

>>> profiled(["method=fedavg", "data=digits", "model=logistic"], clients=10)
[Operator(name='aten::addmm', share=0.31, calls=640), ...]
"""

from collections.abc import Sequence
from typing import NamedTuple

from flwr.app import ConfigRecord, RecordDict
from torch.profiler import ProfilerActivity, profile

from fedkd import engine
from fedkd.assembly.build import client_side, load
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.engine import ClientSide, Turn
from fedkd.engine.mail import CONFIG, Mail
from fedkd.foundation.threads import threads


class Operator(NamedTuple):
    """An operator of PyTorch, with its share of all operators' own time, from 0 to 1, and how often it was called."""

    name: str
    share: float
    calls: int


def profiled(overrides: Sequence[str], *, clients: int) -> list[Operator]:
    """Return the operators of a round of the first clients, the longest first; the round before it, which is only slow once, is not counted.

    What Python does between them is not seen.

    Args:
        overrides: of the config.
        clients: how many are trained, at once where the engine does so.
    """
    experiment = Experiment.from_config(compose(list(overrides)))
    side = client_side(experiment, load(experiment))
    with threads(1):
        _round(side, clients)
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            _round(side, clients)
    events = [event for event in watched.key_averages() if event.self_cpu_time_total > 0]
    whole = sum(event.self_cpu_time_total for event in events)
    found = [Operator(event.key, event.self_cpu_time_total / whole, event.count) for event in events]
    return sorted(found, key=lambda one: -one.share)


def _round(side: ClientSide, clients: int) -> None:
    mail = Mail(RecordDict({CONFIG: ConfigRecord({"server-round": 1})}))
    for outcome in engine.train_together(
        side, [Turn(client, mail, RecordDict()) for client in range(clients)]
    ):
        if isinstance(outcome, Exception):
            raise outcome
