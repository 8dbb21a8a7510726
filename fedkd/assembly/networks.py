"""Which networks an experiment trains: the clients', as their strategy fits them out, and the student."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedkd.engine.client import fitted_out
from fedkd.models.base import Model

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def student_model(experiment: "Experiment") -> Model:
    """Return the model of the student: the one that was named, or the clients' first."""
    if experiment.student is not None:
        return experiment.student
    return next(iter(experiment.model.architectures().values()))


def client_models(experiment: "Experiment", clients: int) -> tuple[Model, ...]:
    """Return the model that each client trains."""
    models = experiment.model.per_client(clients)
    return fitted_out(experiment.method.client, models, student_model(experiment))


def client_architectures(experiment: "Experiment") -> Mapping[str, Model]:
    """Return every distinct architecture that clients train by its name."""
    named = experiment.model.architectures()
    models = fitted_out(experiment.method.client, [*named.values()], student_model(experiment))
    return dict(zip(named, models, strict=True))
