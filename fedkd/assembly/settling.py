"""Settling what a config leaves to a rule: which engine trains the clients. Afterwards the resolved config says it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fedkd.engine.engines.auto import Auto, Question
from fedkd.engine.engines.sequential import Sequential
from fedkd.foundation.parts import dump
from fedkd.foundation.seeding import Streams

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def settled(experiment: "Experiment") -> "Experiment":
    """Return the experiment with the engine that `engine=auto` chooses, so that its config gives the same bytes again."""
    if not isinstance(experiment.engine, Auto):
        return experiment
    if experiment.method.client.vectorises and not experiment.runtime.one_by_one:
        engine = experiment.engine.chosen(_questions(experiment))
    else:
        engine = Sequential(precision=experiment.engine.precision)
    name = type(engine).__module__.rpartition(".")[2]
    resolved = {**experiment.resolved, "engine": {"name": name, **dump(engine)}}
    return replace(experiment, engine=engine, resolved=resolved)


def _questions(experiment: "Experiment") -> Iterator[Question]:
    data = experiment.data
    shape = next(iter(data.views.values()))
    for model in experiment.model.architectures().values():
        with Streams(0).initialising("engine"):
            network = model.network(shape, data.num_outputs)
        yield Question(
            repr(model), network, shape, experiment.method.client.fit.batch_size, experiment.runtime.device
        )
