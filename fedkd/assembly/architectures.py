"""Networks that do not fit the data or the method, refused before anything is loaded or started."""

from typing import TYPE_CHECKING

import torch

from fedkd.assembly.networks import student_model, student_signature
from fedkd.foundation.errors import IllegalCombination, InvalidOption, nearest
from fedkd.foundation.seeding import Streams
from fedkd.models._generator import head_logits
from fedkd.models.base import Model, Signature, observe, predict
from fedkd.tasks import TASKS

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def check_networks(experiment: "Experiment") -> None:
    """Refuse networks that cannot take the data, or that the method cannot bring together.

    Raises:
        InvalidOption: a view that the data does not have.
        IllegalCombination: with a way out.
    """
    signature = Signature.of(experiment.data)
    architectures = experiment.model.architectures()
    students = {} if experiment.student is None else experiment.student.architectures()
    read_by_student = student_signature(experiment)
    if experiment.method.split_layer is not None and not students:
        students = {"same": student_model(experiment)}
    for key, models, reads in (("model", architectures, signature), ("student", students, read_by_student)):
        for name, model in models.items():
            _check_view(f"{key}.models.{name}" if len(models) > 1 else key, model, reads)
            _check_shapes(f"{key}={name}", model, experiment, reads)
    for key, model in experiment.method.strategy.further_models().items():
        _check_view(key, model, signature)
        _check_shapes(key, model, experiment, signature)
    if len(students) > 1:
        raise IllegalCombination(
            "student=mixed is several architectures; the student is one: name it with student=NAME"
        )
    _check_exits(experiment)
    _check_features(experiment)
    _check_heads(experiment)
    if not experiment.method.mixes:
        chosen = dict(architectures)
        if experiment.student is not None and experiment.student not in architectures.values():
            chosen |= {f"student {name}": model for name, model in students.items()}
        if len(chosen) > 1:
            raise IllegalCombination(
                f"method={experiment.method.name} averages weights, which needs one architecture for all; these are {', '.join(chosen)}. Take one "
                "model and student=same, or a method that shares outputs (fd, fedmd, dsfl), or feddf, which averages by group"
            )


def _check_exits(experiment: "Experiment") -> None:
    """Refuse networks with one answer where a client strategy works on several, or on what each exit sees."""
    client = experiment.method.client
    if not client.needs_exits:
        return
    for name, model in experiment.model.architectures().items():
        if not model.gives_exits:
            raise IllegalCombination(
                f"model={name} answers at one place: method.client={experiment.named('client')} works on several; take model=peers "
                "(networks side by side), model=branches or model=early_exits"
            )
        if client.needs_exit_features and not model.gives_exit_features:
            raise IllegalCombination(
                f"model={name} does not say what its exits see, on which method.client={experiment.named('client')} works; "
                "take model=early_exits, or method.client=dml"
            )
        if client.needs_means and not model.gives_means:
            raise IllegalCombination(
                f"model={name} holds no running means of its weights, which teach in method.client={experiment.named('client')}; "
                "take model=peer_branches, or method.client=one"
            )


def _check_features(experiment: "Experiment") -> None:
    """Refuse networks with features of several widths where features cross."""
    kind, data = experiment.method.knowledge, experiment.data
    if kind is None or not kind.equal_features:
        return
    signature, widths = Signature.of(data), {}
    for name, model in experiment.model.architectures().items():
        with Streams(0).initialising("shape check"):
            network = model.build(signature)
        widths[name] = observe(network, signature.blank(1)).features.shape[-1]
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise IllegalCombination(
            f"method.knowledge={experiment.named('knowledge')} compares features, which needs one width for all; these networks have {said}. "
            "Give their last hidden layers one size, for instance model.models.NAME.hidden"
        )


def _check_heads(experiment: "Experiment") -> None:
    """Refuse networks whose last layer is not a linear one from features to outputs, called `head`, where that is looked at."""
    if not experiment.method.strategy.needs_head:
        return
    signature = Signature.of(experiment.data)
    for name, model in experiment.model.architectures().items():
        with Streams(0).initialising("shape check"):
            network = model.build(signature)
            inputs = {
                view: torch.rand(x.shape) if x.is_floating_point() else x
                for view, x in signature.blank(2).items()
            }
            said = observe(network, inputs)
        weights = network.state_dict()
        if not {"head.weight", "head.bias"} <= weights.keys() or not torch.allclose(
            head_logits(weights, said.features), said.logits, atol=1e-5
        ):
            raise IllegalCombination(
                f"model={name}: method.strategy={experiment.named('strategy')} works on the last layer of the networks, which must be a linear "
                "layer `head` from `Outputs.features` to `Outputs.logits`, as in mlp, lenet, resnet and logistic"
            )


def _check_view(key: str, model: Model, signature: Signature) -> None:
    """Refuse a view that the data does not have, by the key under which it was named."""
    if model.view is not None and model.view not in signature.views:
        allowed = f"a view of this data: {', '.join(signature.views)}"
        raise InvalidOption(f"{key}.view", model.view, allowed, nearest(model.view, signature.views))


def _check_shapes(called: str, model: Model, experiment: "Experiment", signature: Signature) -> None:
    """Let one sample of zeros pass through a network."""
    data = experiment.data
    answer = TASKS[data.task].answer(data)
    with Streams(0).initialising("shape check"):
        network = model.build(signature)
        try:
            logits = predict(network, signature.blank(1))
        except (
            RuntimeError,
            TypeError,
            IndexError,
        ) as error:  # whatever PyTorch says of shapes that do not fit
            reason = " ".join(str(error).split())[:200]
            raise IllegalCombination(
                f"{called} cannot take inputs of shape {_shape(model, signature)} with these options: {reason}"
            ) from error
    if tuple(logits.shape) != (1, *answer):
        raise IllegalCombination(
            f"{called} gives outputs of shape {list(logits.shape[1:])} a sample, this data needs {list(answer)}"
        )


def _shape(model: Model, signature: Signature) -> list[int]:
    return list(signature.views[model.view or next(iter(signature.views))])
