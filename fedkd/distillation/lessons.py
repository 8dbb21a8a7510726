"""Lessons of a distiller whose recipe names terms: the objective on batches of the proxy set, with what it learns itself.

>>> lessons = Lessons(objective, student, proxy.inputs, fused, task=Classification(), generator=g, steps=100)
>>> fit(lessons, lessons.loss, size=len(fused), plan=plan, generator=g)
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from fedkd.distillation.noise import Noise
from fedkd.models.base import run_network
from fedkd.objectives import Lesson, Objective, Taps, layer_shapes
from fedkd.tasks import Task


class Lessons(nn.Module):
    """The student and what its objective learns, as one module to train.

    Args:
        objective: what is minimised.
        student: trained in place.
        inputs: views of the samples, each [n, ...].
        teacher: what the teachers say about each sample, in log space.
        task: says what outputs mean.
        generator: draws initial weights of what the objective learns, and what its terms sample.
        steps: length of the training, by which schedules go.
        targets: true targets of the samples, where they are known.
        layers: layers of the teachers' networks by name, each [n, ...].
        noise: what is done to the samples that the student sees; nothing, if it is not given.
    """

    def __init__(
        self,
        objective: Objective,
        student: nn.Module,
        inputs: Mapping[str, Tensor],
        teacher: Float[Tensor, "n ... outputs"],
        *,
        task: Task,
        generator: torch.Generator,
        steps: int,
        targets: Shaped[Tensor, "n ..."] | None = None,
        layers: Mapping[str, Tensor] | None = None,
        noise: Noise | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self._taps = objective.student_layers
        self._inputs, self._teacher, self._targets, self._layers = inputs, teacher, targets, layers or {}
        self._task, self._generator, self._noise = task, generator, noise or Noise()
        self._step, self._steps = 0, max(steps, 1)
        seed = int(torch.randint(2**62, (1,), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.criterion = objective.begin(
                student=layer_shapes(student, self._taps, inputs),
                teacher={name: tuple(layer.shape[1:]) for name, layer in self._layers.items()},
                outputs=teacher.shape[1:].numel(),
                samples=len(teacher),
            )

    def loss(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Return the objective on the samples at these positions; each call is a step further in the schedules."""
        with Taps(self.student, self._taps) as layers:
            inputs = {view: x[rows] for view, x in self._inputs.items()}
            outputs = run_network(self.student, self._noise.apply(inputs, self._generator))
        lesson = Lesson(
            outputs.logits,
            self._teacher[rows],
            self._task,
            targets=None if self._targets is None else self._targets[rows],
            rows=rows,
            student_layers=layers,
            teacher_layers={name: layer[rows] for name, layer in self._layers.items()},
            generator=self._generator,
            inputs=inputs,
        )
        progress = self._step / self._steps
        self._step += 1
        value: Tensor = self.criterion(lesson, progress)
        return value
