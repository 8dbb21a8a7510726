"""Settling what a config leaves to a rule or to the machine: the engine, the threads. Afterwards the resolved config says it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fedkd.assembly.networks import client_architectures, client_models
from fedkd.engine.engines.base import Question
from fedkd.engine.engines.vectorised import LARGEST
from fedkd.foundation.parts import dump
from fedkd.foundation.seeding import Streams
from fedkd.foundation.threads import available_threads
from fedkd.models.base import Signature, identity

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def settled(experiment: "Experiment") -> "Experiment":
    """Return the experiment with what `auto` stands for, so that its config gives the same bytes again."""
    return _with_threads(_with_engine(experiment))


def _with_threads(experiment: "Experiment") -> "Experiment":
    if experiment.settings.threads != "auto":
        return experiment
    settings = replace(experiment.settings, threads=available_threads())
    return replace(
        experiment, settings=settings, resolved={**experiment.resolved, "threads": settings.threads}
    )


def _with_engine(experiment: "Experiment") -> "Experiment":
    engine = experiment.engine.chosen(questions(experiment))
    if engine is experiment.engine:
        return experiment
    name = type(engine).__module__.rpartition(".")[2]
    resolved = {**experiment.resolved, "engine": {"name": name, **dump(engine)}}
    return replace(experiment, engine=engine, resolved=resolved)


def questions(experiment: "Experiment") -> Iterator[Question]:
    """Give what the choice of an engine depends on for each architecture of the clients, in their order."""
    data, method, settings = experiment.data, experiment.method, experiment.settings
    shape = next(iter(data.views.values()))
    everyone = client_models(experiment, 1 if method.pool else settings.clients)
    in_a_round = min(settings.clients_per_round or settings.clients, len(everyone))
    for model in client_architectures(experiment).values():
        with Streams(0).initialising("engine"):
            network = model.build(Signature.of(data))
        yield Question(
            architecture=identity(model),
            network=network,
            shape=shape,
            batch_size=method.client.fit.batch_size,
            device=experiment.runtime.device,
            strategy=type(method.client).__name__,
            # A round has its share of each architecture.
            clients=min(-(-everyone.count(model) * in_a_round // len(everyone)), LARGEST),
            together=method.client.vectorises and not experiment.runtime.one_by_one,
        )
