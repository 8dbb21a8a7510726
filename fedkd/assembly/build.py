"""From an experiment to the two sides of its Flower app. Every process that takes part builds the same from the config."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from fedkd.assembly.experiment import Experiment
from fedkd.assembly.networks import client_models, judged_models, student_model, student_signature
from fedkd.assembly.trained import weights_for
from fedkd.data.federated import FederatedData, federate
from fedkd.data.lending import Shareable, restored, shareable
from fedkd.engine import ClientSide
from fedkd.engine.client import initial_network
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Model, Signature, identity
from fedkd.strategies import Federated, Sampling, ServerSide
from fedkd.tasks import TASKS, Task

_DATA: dict[str, FederatedData] = {}
"""The data that this process has loaded, or was lent, last."""


def load(experiment: Experiment) -> FederatedData:
    """Load and partition the data; what was loaded last for the same data, partition, proxy set and seed is not loaded again."""
    settings, key = experiment.settings, _data_key(experiment)
    if key not in _DATA:
        data = federate(
            experiment.data, experiment.partition, experiment.proxy, settings.clients, Streams(settings.seed)
        )
        _hold(key, data.pooled() if experiment.method.pool else data)
    return _DATA[key]


def lend_data(config: str) -> Shareable:
    """Return the data of a resolved config in a form that other processes can share."""
    return shareable(client_side_of(config).data)


def borrow_data(config: str, lent: object) -> None:
    """Take up the data of a resolved config that another process has loaded."""
    assert isinstance(lent, Shareable)
    _hold(_data_key(Experiment.from_config(json.loads(config))), restored(lent))


def _hold(key: str, data: FederatedData) -> None:
    _DATA.clear()
    _DATA[key] = data


def _data_key(experiment: Experiment) -> str:
    parts = {name: experiment.resolved[name] for name in ("data", "partition", "proxy", "clients", "seed")}
    return json.dumps([parts, experiment.method.pool], sort_keys=True)


def task_of(data: FederatedData) -> Task:
    """Return the task that a data set's targets make."""
    return TASKS[data.info.task].of(data.info)


def client_side(experiment: Experiment, data: FederatedData) -> ClientSide:
    """Return the client side of the app."""
    return ClientSide(
        data=data,
        models=client_models(experiment, len(data.assignments)),
        strategy=experiment.method.client,
        kind=experiment.method.knowledge,
        codec=experiment.method.codec,
        task=task_of(data),
        streams=Streams(experiment.settings.seed),
        device=experiment.runtime.device,
        engine=experiment.engine,
        weighting=experiment.method.weighting,
        judged=judged_models(experiment, len(data.assignments)),
    )


def server_side(experiment: Experiment, data: FederatedData) -> tuple[Federated, nn.Module | None]:
    """Return the server's strategy and the student that it reports, with its initial weights."""
    settings, method = experiment.settings, experiment.method
    students = _students(experiment, data)
    names = {identity(model): name for name, model in experiment.model.architectures().items()}
    num_clients = len(data.assignments)
    architecture_of = {
        client: names[identity(model)]
        for client, model in enumerate(experiment.model.per_client(num_clients))
    }
    side = ServerSide(
        streams=Streams(settings.seed),
        task=task_of(data),
        num_outputs=data.info.num_outputs,
        sampling=Sampling(
            clients_per_round=min(settings.clients_per_round or num_clients, num_clients),
            min_clients=min(settings.min_clients, num_clients),
            num_clients=num_clients,
            seed=settings.seed,
        ),
        students=students,
        architecture_of=architecture_of,
        proxy=data.proxy,
        proxy_labelled=data.proxy_labelled,
        validation=data.validation,
        weighting=method.weighting,
        fusion=method.fusion,
        distiller=method.distiller,
        codec=method.codec,
        codec_down=method.codec_down,
        trained=weights_for(
            (students[architecture_of[client]] for client in range(num_clients)),
            method.strategy.trained,
            key="method.strategy.checkpoints",
        ),
        fresh=lambda model, number: initial_network(
            model or student_model(experiment), data, Streams(settings.seed), owner=f"server/{number}"
        ),
        student_reads=_read_by(student_model(experiment), student_signature(experiment)),
    )
    strategy = method.strategy.create(side)
    return strategy, next(iter(students.values())) if method.strategy.has_student else None


def _students(experiment: Experiment, data: FederatedData) -> Mapping[str, nn.Module]:
    """Return a network for the student, which comes first, and for every architecture of the clients.

    A student of a clients' architecture is that architecture's network; another one stands beside them.
    """
    architectures = dict(experiment.model.architectures())
    chosen = student_model(experiment)
    name = next((name for name, model in architectures.items() if model == chosen), "student")
    ordered: dict[str, Model] = {
        name: chosen,
        **{other: model for other, model in architectures.items() if other != name},
    }
    if not experiment.method.strategy.needs_groups:
        ordered = {name: chosen}
    streams, signature = Streams(experiment.settings.seed), student_signature(experiment)
    return {
        label: initial_network(model, data, streams, owner="server", signature=signature)
        for label, model in ordered.items()
    }


def _read_by(model: Model, signature: Signature) -> tuple[int, ...]:
    """Return the shape of the view that a model reads."""
    return signature.views[model.view or next(iter(signature.views))]


@functools.lru_cache(maxsize=2)
def client_side_of(config: str) -> ClientSide:
    """Return the client side for a resolved config as JSON text; built once per process."""
    document: dict[str, Any] = json.loads(config)
    experiment = Experiment.from_config(document)
    return client_side(experiment, load(experiment))
