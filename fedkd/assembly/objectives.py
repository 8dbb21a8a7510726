"""Terms of a distiller or of clients that cannot work with the rest of the config, refused before anything is loaded or started."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from fedkd.assembly.networks import student_signature
from fedkd.distillation.lessons import Lessons
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption, nearest
from fedkd.foundation.seeding import Streams
from fedkd.models.base import Model, Signature
from fedkd.objectives import Objective, Term, over, predict_with_layers
from fedkd.tasks import TASKS

if TYPE_CHECKING:
    from fedkd.assembly.experiment import Experiment


def check_terms(experiment: "Experiment") -> None:
    """Refuse terms that the method, the data, the proxy set or the networks have no use for.

    Raises:
        InvalidOption: a view that the data does not have.
        IllegalCombination: a term that needs what is not there, by its place in the list.
    """
    distiller, client = experiment.method.distiller, experiment.method.client
    _check_sequences(experiment)
    if distiller is not None and not distiller.hard:
        pairs = list(_pairs(experiment))
        _check(experiment, distiller.objective(), "method.distiller.terms", pairs)
    alike = [(model, model) for model in experiment.model.architectures().values()]
    _check(experiment, client.objective(), "method.client.terms", alike)


def _check_sequences(experiment: "Experiment") -> None:
    """Refuse to go on with what has no end, and for a server that has no networks that could."""
    distiller, data = experiment.method.distiller, experiment.data
    if distiller is None or not distiller.sequences.beam:
        return
    key = "method.distiller.sequences"
    if not TASKS[data.task].continues:
        raise IllegalCombination(
            f"{key}.beam={distiller.sequences.beam} goes on with sequences, data={data.name()} is a {data.task}; take 0, or data=grammar"
        )
    if not experiment.method.strategy.has_teachers:
        raise IllegalCombination(
            f"{key}.beam={distiller.sequences.beam} needs the teachers' networks, which method.strategy={experiment.named('strategy')} does not "
            "have; take 0, or method=sequence_kd, kd or feddf"
        )
    given, places = distiller.sequences.given(data.prompt), next(iter(data.views.values()))[0]
    if not 1 <= given <= places:
        raise InvalidOption(
            f"{key}.prompt",
            distiller.sequences.prompt,
            f"how many of the {places} symbols of a sample are given, at least 1",
        )


def _check(
    experiment: "Experiment", objective: Objective, key: str, pairs: Sequence[tuple[Model, Model]]
) -> None:
    has_teachers = experiment.method.strategy.has_teachers and key == "method.distiller.terms"
    for place, term in enumerate(objective.terms):
        named = f"{key}.{place}={term.name()}"
        _check_needs(experiment, term, named)
        if Objective([term]).teacher_layers and not has_teachers:
            raise IllegalCombination(
                f"{named} learns from layers of the teachers' networks, which are not there; take method.distiller.terms with method=feddf, or a "
                "term on relations (sp, rkd_distance, ...) with teacher_layer=fused"
            )
        for student, teacher in pairs:
            try:
                _try(experiment, term, student, teacher)
            except FedkdError as error:
                raise IllegalCombination(f"{named}: {error}") from error


def _check_needs(experiment: "Experiment", term: Term, key: str) -> None:
    data, task = experiment.resolved["data"]["name"], experiment.data.task
    probabilistic, one_class = TASKS[task].probabilistic, experiment.data.targets.one_class
    if (term.needs_classes and not probabilistic) or (term.by_class and not one_class):
        raise IllegalCombination(
            f"{key} is about classes, data={data} is a {task}; take divergence, bounded_regression, or a term on layers"
        )
    if term.needs_numbers and (probabilistic or TASKS[task].embeds):
        raise IllegalCombination(
            f"{key} is about numbers, data={data} is a {task}; take divergence or another term"
        )
    for view in term.of_inputs:
        if view not in (known := experiment.data.views):
            allowed = f"a view of data={data}: {', '.join(known)}"
            raise InvalidOption(f"{key.partition('=')[0]}.links", view, allowed, nearest(view, known))
    of_proxy = experiment.method.split_layer is None
    if term.needs_targets and of_proxy and not experiment.labels_on_proxy:
        raise IllegalCombination(
            f"{key} learns from true targets, and this proxy set has none; take proxy=heldout proxy.labelled=true"
        )


def _pairs(experiment: "Experiment") -> Iterator[tuple[Model, Model]]:
    """Yield each architecture that is distilled into, with that of the teachers whose layers it sees."""
    architectures = experiment.model.architectures()
    first = architectures[min(architectures)]
    student = experiment.student or next(iter(architectures.values()))
    strategy = experiment.method.strategy
    if strategy.teachers_apart:
        learners = [*strategy.further_models().values(), student]
        yield from itertools.product(learners[:1], architectures.values())
        if strategy.rests:
            yield from ((later, earlier) for earlier, later in itertools.pairwise([*learners, student]))
        return
    if strategy.distils_groups:
        for model in architectures.values():
            yield model, model
    if not strategy.distils_groups or student not in architectures.values():
        yield student, first


def _try(experiment: "Experiment", term: Term, student: Model, teacher: Model) -> None:
    """Let two samples of zeros pass through both networks and the term."""
    signature, task = Signature.of(experiment.data), TASKS[experiment.data.task].unloaded(experiment.data)
    read_by_student = student_signature(experiment)
    objective = Objective([term])
    with Streams(0).initialising("shape check"):
        networks = [student.build(read_by_student), teacher.build(signature)]
        said, layers = predict_with_layers(networks[1], objective.teacher_layers, signature.blank(2))
        if experiment.method.strategy.teachers_apart:
            layers = {f"0/{name}": layer for name, layer in layers.items()}
            objective = over(objective, {"0": 1.0})
        lessons = Lessons(
            objective,
            networks[0],
            read_by_student.blank(2),
            torch.zeros_like(said),
            task=task,
            generator=torch.Generator().manual_seed(0),
            steps=1,
            targets=task.harden(torch.zeros_like(said)),
            layers=layers,
        )
        lessons.loss(torch.arange(2))
