"""The distiller: trains a student on what the teachers together say of the proxy set. There is no other such loop.

    L_S = (1 - label_weight) D(t(x), f_S(x)) + label_weight CE(f_S(x), y),   D the divergence, KL times temperature^2 by default

>>> Distiller(temperature=3.0).distil(student, proxy.inputs, fused, task=Classification(), generator=g, validate=None)
Taught(loss=0.02, epochs=5, best_score=None)
>>> Distiller(terms=({"name": "dkd", "beta": 4.0}, {"name": "sp", "weight": 10.0}))  # other losses, added up
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fedkd.aggregation.fusions.base import Relations
from fedkd.distillation.lessons import Lessons
from fedkd.distillation.noise import Noise
from fedkd.distillation.sequences import Sequences, Speak
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Count, Positive, Share
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import drawing_from
from fedkd.models._layout import fast_layout
from fedkd.models.base import Outputs, run_network
from fedkd.objectives import Objective, Spec, over, refuse_idle, spelled_out
from fedkd.tasks import Divergence, Task
from fedkd.training import Fit, fit


@dataclass(frozen=True)
class Taught:
    """How a distillation went.

    Args:
        loss: mean loss over the last pass.
        epochs: passes that were made.
        best_score: the score on validation data of the weights that were kept; none without early stopping.
        shares: how much each teacher counted on average over the batches, by its name, where a term weighs them itself.
    """

    loss: float
    epochs: int
    best_score: float | None
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Distiller(Part):
    """Trains the student to say what the fused teachers say."""

    fit: Fit = field(default_factory=lambda: Fit(epochs=5))
    """How long and with what the student is trained in each round."""

    temperature: Positive = 1.0
    """Softens teacher and student alike; the loss is multiplied by its square."""

    divergence: Divergence = "task"
    """What is minimised: the task's own (KL for classes, squared error for numbers), `mae` or `mse` of the raw outputs, or their `cosine`."""

    hard: bool = False
    """Learn the label that the teachers name (pseudo-labels) in place of their soft answer, whatever else is chosen: the control of every claim."""

    terms: tuple[Spec, ...] = ()
    """Losses that are added up in place of `divergence`: `[kd, {name: sp, weight: 10}]`; `fedkd list terms` explains them."""

    noise: Noise = field(default_factory=Noise)
    """What is done to the samples that the student sees while it learns; teachers speak about clean ones."""

    sequences: Sequences = field(default_factory=Sequences)
    """Sequence-level distillation: with a beam the student learns what the teachers would go on with after each prompt, in place of soft answers."""

    label_weight: Share = 0.0
    """Share of the loss that is the task's own on the true targets of the proxy set; the rest is what the teachers say."""

    patience: Count | None = None
    """Stop after so many passes without a better validation score, and keep the best weights; none trains to the end."""

    def __post_init__(self) -> None:
        """Refuse terms that do not exist, and options that terms make idle; write down every option of the terms."""
        object.__setattr__(self, "terms", spelled_out(self.terms, key="method.distiller.terms"))
        if self.terms:
            refuse_idle(self, ("divergence", "temperature", "label_weight"), key="method.distiller")
        if self.sequences.beam:
            idle = ("divergence", "temperature", "label_weight", "terms")
            refuse_idle(self, idle, key="method.distiller", beside="a beam (method.distiller.sequences)")

    def objective(self) -> Objective:
        """Return the terms as one loss."""
        return Objective.named(self.terms, key="method.distiller.terms")

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """Layers of the teachers' networks that the student learns from."""
        return () if self.hard else self.objective().teacher_layers

    def distil(
        self,
        student: nn.Module,
        inputs: Mapping[str, Tensor],
        teacher: Float[Tensor, "n ... outputs"],
        *,
        task: Task,
        generator: torch.Generator,
        validate: Callable[[nn.Module], float] | None = None,
        targets: Shaped[Tensor, "n ..."] | None = None,
        layers: Mapping[str, Float[Tensor, "n ..."]] | None = None,
        shares: Mapping[str, float] | None = None,
        label_weights: Float[Tensor, " n"] | None = None,
        relations: Relations | None = None,
        speak: Speak | None = None,
    ) -> Taught:
        """Train the student in place.

        Args:
            student: trained in place.
            inputs: views of the proxy samples, each [n, ...].
            teacher: what the teachers say about each sample, as scores in log space (numbers in a regression).
            task: says how answers are compared.
            generator: draws the order of the samples; what dropout leaves out is drawn from its seed.
            validate: score of a network on validation data, larger is better; needed for `patience`.
            targets: true targets of the proxy samples; needed for `label_weight`, and by terms that learn from them.
            layers: layers of the teachers' networks by name (see `teacher_layers`), for terms that learn from them.
            shares: how much each teacher counts, where layers are those of each teacher apart, as `<teacher>/<layer>`; terms on
                layers are then means over the teachers.
            label_weights: a `label_weight` for each sample, in place of one for all.
            relations: which samples are alike, for fusions that say so; the student's features are held to it.
            speak: says what the teachers say about any samples; needed for `sequences`.

        Raises:
            IllegalCombination: a term needs what is not given, or samples are weighed and there are terms.
        """
        labels = self.hard or self.sequences.beam > 0
        inputs, taught = self._taught(inputs, teacher, task, speak)
        of_labels = torch.full((len(teacher),), self.label_weight) if label_weights is None else label_weights
        learns_labels = bool((of_labels > 0).any())

        def look_at(rows: Tensor) -> Outputs:
            seen = self.noise.apply({view: x[rows] for view, x in inputs.items()}, generator)
            return run_network(student, seen)

        def of_samples(outputs: Tensor, rows: Tensor) -> Tensor:
            if labels:
                apart = task.supervised(outputs, taught[rows])
            else:
                apart = task.divergence(
                    outputs, taught[rows], measure=self.divergence, temperature=self.temperature
                )
            if not learns_labels:
                return apart.mean()
            assert targets is not None
            share = of_labels[rows]
            return ((1.0 - share) * apart + share * task.supervised(outputs, targets[rows])).mean()

        def loss(rows: Tensor) -> Tensor:
            return of_samples(look_at(rows).logits, rows)

        if self.terms and label_weights is not None:
            raise IllegalCombination(
                "method.distiller.terms: this method weighs labels by sample, which terms cannot; leave terms out"
            )
        trained: nn.Module = student
        minimised: Callable[[Tensor], Tensor] = loss
        lessons = None
        if self.terms and not self.hard:
            objective = self.objective()
            lessons = Lessons(
                objective if shares is None else over(objective, shares),
                student,
                inputs,
                teacher,
                task=task,
                generator=generator,
                steps=self.fit.steps(len(teacher)),
                targets=targets,
                layers=layers,
                noise=self.noise,
            )
            trained, minimised = lessons, lessons.loss
        if relations is not None:
            minimised = _related(minimised, look_at, relations)
        watch = _EarlyStop(self.patience, student, validate)
        # What dropout leaves out belongs to this distillation, as the order of the samples does.
        with drawing_from(generator.initial_seed()), fast_layout(student, inputs):
            last = fit(
                trained, minimised, size=len(teacher), plan=self.fit, generator=generator, after_epoch=watch
            )
            watch.restore()
        shares_of = {} if lessons is None else lessons.criterion.shares()
        return Taught(last, watch.epochs, watch.best_score, shares_of)

    def _taught(
        self, inputs: Mapping[str, Tensor], teacher: Tensor, task: Task, speak: Speak | None
    ) -> tuple[Mapping[str, Tensor], Tensor]:
        """Return the samples, and what is learned of them: what the teachers say, the label that they name, or what they would go on with."""
        if self.hard:
            return inputs, task.harden(teacher)
        if not self.sequences.beam:
            return inputs, teacher
        assert speak is not None
        return self.sequences.continued(inputs, speak, prompt=task.prompt)


def triplet(
    anchor: Float[Tensor, "n features"],
    near: Float[Tensor, "n features"],
    far: Float[Tensor, "n features"],
    *,
    margin: float,
) -> Float[Tensor, ""]:
    """Return the mean of `max(0, |a - near|^2 - |a - far|^2 + margin)`, which is 0 where the order is kept.

    Distances are divided by their mean, so that the margin, and the weight beside another loss, do not depend on the scale of the features.
    """
    distances = torch.stack([(anchor - other).square().sum(dim=-1) for other in (near, far)])
    distances = distances / distances.mean().clamp_min(torch.finfo(distances.dtype).tiny)
    return (distances[0] - distances[1] + margin).clamp_min(0.0).mean()


def _related(
    loss: Callable[[Tensor], Tensor], look_at: Callable[[Tensor], Outputs], relations: Relations
) -> Callable[[Tensor], Tensor]:
    """Return the loss, with what the order of the student's features lacks of the relations added."""

    def both(rows: Tensor) -> Tensor:
        near, far = look_at(relations.nearer[rows]).features, look_at(relations.farther[rows]).features
        return loss(rows) + relations.weight * triplet(
            look_at(rows).features, near, far, margin=relations.margin
        )

    return both


class _EarlyStop:
    """Keeps the weights that are best on validation data, and says when to stop."""

    def __init__(
        self, patience: int | None, student: nn.Module, validate: Callable[[nn.Module], float] | None
    ) -> None:
        self._patience, self._student, self._validate = patience, student, validate
        self._best_weights: dict[str, Tensor] | None = None
        self._waited = 0
        self.epochs = 0
        self.best_score: float | None = None

    def __call__(self, epoch: int) -> bool:
        self.epochs = epoch
        if self._patience is None or self._validate is None:
            return False
        score = self._validate(self._student)
        if self.best_score is None or math.isnan(self.best_score) or score > self.best_score:
            self.best_score, self._waited = score, 0
            self._best_weights = copy.deepcopy(self._student.state_dict())
            return False
        self._waited += 1
        return self._waited >= self._patience

    def restore(self) -> None:
        """Give the student its best weights back."""
        if self._best_weights is not None:
            self._student.load_state_dict(self._best_weights)
