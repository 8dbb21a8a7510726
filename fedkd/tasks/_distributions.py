"""Probabilities in float64 out of scores of any size, and what is read off them: for every task whose outputs are distributions.

>>> said = softmax(torch.tensor([[[2.0, 0.0]]]))
>>> said.confidence, said.losses(torch.tensor([[[2.0, 0.0]]]), torch.tensor([0]))
(tensor([[0.8808]]), tensor([[0.1269]]))
"""

from abc import ABC
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.losses import kd
from fedkd.tasks.base import Task


class Softmax(NamedTuple):
    """What the probabilities are made of, in float64: exponentials of the scores less the largest, and their sum.

    `torch.softmax` over so few classes as there are here takes several times as long.
    """

    peak: Float[Tensor, "*clients n"]
    exponentials: Float[Tensor, "*clients n classes"]
    total: Float[Tensor, "*clients n"]

    @property
    def confidence(self) -> Float[Tensor, "*clients n"]:
        """The largest probability of each sample: the exponential of the largest score is 1."""
        return self.total.reciprocal()

    def probabilities(self) -> Float[Tensor, "*clients n classes"]:
        """Return the probabilities, in the memory of the exponentials."""
        return self.exponentials.mul_(self.confidence[..., None])

    def losses(
        self, outputs: Float[Tensor, "*clients n classes"], targets: Int[Tensor, "... n"]
    ) -> Float[Tensor, "*clients n"]:
        """Return the cross-entropy of each sample; networks may share the targets, or each have its own."""
        columns = targets.expand(outputs.shape[:-1])[..., None]
        return self.total.log() - (outputs.gather(-1, columns)[..., 0].double() - self.peak)


def softmax(
    outputs: Float[Tensor, "*clients n classes"], peak: Float[Tensor, "*clients n"] | None = None
) -> Softmax:
    """Return the parts of the softmax; `peak` is the largest score of each sample, if it is known already."""
    largest = (outputs.amax(dim=-1) if peak is None else peak).double()
    exponentials = (outputs.double() - largest[..., None]).exp_()
    return Softmax(largest, exponentials, exponentials.sum(dim=-1))


def alike(outputs: Float[Tensor, "clients n classes"]) -> Bool[Tensor, " clients"]:
    """Return for each network whether it gives the same probabilities to all it is shown; one sample says nothing."""
    if outputs.shape[1] < 2:
        return torch.zeros(len(outputs), dtype=torch.bool, device=outputs.device)
    probabilities = F.softmax(outputs, dim=-1)
    return (probabilities.amax(dim=1) - probabilities.amin(dim=1) < 1e-6).all(dim=-1)


class Distributions(Task, ABC):
    """A task whose outputs are scores of distributions over the last axis: teachers are averaged as probabilities."""

    probabilistic: ClassVar[bool] = True

    def summand(self, outputs: Float[Tensor, "n ... classes"]) -> Float[Tensor, "n ... classes"]:
        """Return the probabilities."""
        return softmax(outputs.detach()).probabilities()

    def from_mean(self, mean: Float[Tensor, "n ... classes"]) -> Float[Tensor, "n ... classes"]:
        """Return log-probabilities; one below e^-708, the least that float64 can hold, counts as that."""
        return mean.clamp_min(torch.finfo(torch.float64).tiny).log()

    def natural_divergence(
        self,
        student: Float[Tensor, "rows classes"],
        teacher: Float[Tensor, "rows classes"],
        temperature: float,
    ) -> Float[Tensor, " rows"]:
        """Return `T^2 KL(teacher_T || student_T)` of each row in nats; of text it is word-level distillation (Kim & Rush, 2016, section 3.1)."""
        return kd(student, teacher, temperature=temperature, reduction="none")

    def harden(self, teacher: Float[Tensor, "n ... classes"]) -> Int[Tensor, "n ..."]:
        """Return the class, symbol or item with the largest score."""
        return teacher.argmax(dim=-1)
