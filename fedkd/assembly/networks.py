"""Which networks an experiment trains: the clients', as their strategy fits them out, and the student, with what it reads."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fedkd.engine.client import fitted_out
from fedkd.engine.continued import Continued, beyond_signature
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Model, Signature

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def student_model(experiment: "Experiment") -> Model:
    """Return the model of the student: the one that was named, or the clients' first."""
    if experiment.student is not None:
        return experiment.student
    return next(iter(experiment.model.architectures().values()))


def student_signature(experiment: "Experiment") -> Signature:
    """Return what goes into the student and how much comes out: samples, or what a layer of the clients' networks says of them.

    Raises:
        InvalidOption: a client's network has no such layer.
        IllegalCombination: the layer of several architectures has several shapes.
    """
    signature, layer = Signature.of(experiment.data), experiment.method.split_layer
    if layer is None:
        return signature
    found = {}
    for name, model in experiment.model.architectures().items():
        with Streams(0).initialising("shape check"):
            network = model.build(signature)
        try:
            found[name] = beyond_signature(network, layer, signature)
        except InvalidOption as error:
            raise InvalidOption(
                "method.knowledge.layer", error.given, error.allowed, error.nearest
            ) from error
    first = next(iter(found.values()))
    if any(other != first for other in found.values()):
        said = ", ".join(f"{name} {list(*one.views.values())}" for name, one in found.items())
        raise IllegalCombination(
            f"method.knowledge.layer={layer}: the student reads it, which needs one shape for all; in these networks it has {said}. "
            "Give these layers one size, or take one model"
        )
    return first


def client_models(experiment: "Experiment", clients: int) -> tuple[Model, ...]:
    """Return the model that each client trains."""
    models = experiment.model.per_client(clients)
    return fitted_out(experiment.method.client, models, student_model(experiment))


def judged_models(experiment: "Experiment", clients: int) -> tuple[Continued, ...]:
    """Return the model with which each client is judged, where the student goes on from a layer of the clients'; else none."""
    layer, beyond = experiment.method.split_layer, student_model(experiment)
    if layer is None:
        return ()
    return tuple(
        Continued(own=model, layer=layer, beyond=beyond) for model in client_models(experiment, clients)
    )


def client_architectures(experiment: "Experiment") -> Mapping[str, Model]:
    """Return every distinct architecture that clients train by its name."""
    named = experiment.model.architectures()
    models = fitted_out(experiment.method.client, [*named.values()], student_model(experiment))
    return dict(zip(named, models, strict=True))
