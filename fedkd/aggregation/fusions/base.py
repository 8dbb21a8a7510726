"""What a fusion must say. Everything is in log space: logits, or logarithms of probabilities."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import spoken
from fedkd.foundation.parts import Part
from fedkd.foundation.seeding import Streams
from fedkd.knowledge.softmax import softmax


class Relations(NamedTuple):
    """For each sample another one that it is like, and one that it is less like.

    Attributes:
        nearer, farther: [n] places of these samples among all.
        weight: of the loss that holds a student to it, beside the distillation loss.
        margin: by how much the nearer one must be nearer before nothing is left to learn.
    """

    nearer: Int[Tensor, " n"]
    farther: Int[Tensor, " n"]
    weight: float
    margin: float


class Fusion(Part, ABC):
    """Makes one target for each proxy sample of what the teachers say."""

    needs_classes: ClassVar[bool] = True
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    needs_embeddings: ClassVar[bool] = False
    """Whether it makes sense only for embeddings, of which it gives some with the right angles between samples: axes are arbitrary."""

    needs_gaussians: ClassVar[bool] = False
    """Whether it makes sense only where outputs are normal distributions: all means, then all log variances."""

    gives: ClassVar[Literal["logits", "probabilities"]] = "probabilities"
    """The form in which its result is sent to clients."""

    needs_equal_weights: ClassVar[bool] = False
    """Whether every teacher must count alike."""

    @property
    def breakdown(self) -> float:
        """The share of teachers, below 1/2, that may say anything without moving the result far from what the others say.

        With weights it is the share of the weight. `fedkd check` holds a fusion to what it says here.
        """
        return 0.0

    def relations(
        self,
        outputs: Float[Tensor, "teachers n outputs"],
        weights: Float[Tensor, "teachers n"],
        generator: torch.Generator,
    ) -> Relations | None:
        """Return which samples are alike, for fusions that say that too; what is drawn comes from the generator."""
        del outputs, weights, generator
        return None

    def accounts(self, samples: int) -> Mapping[str, float]:
        """Return what is recorded of so many fused samples, by name, such as the privacy that was spent; by default nothing."""
        del samples
        return {}

    @abstractmethod
    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return scores whose softmax is the fused distribution (for numbers: the fused numbers).

        Args:
            outputs: raw outputs or log-probabilities of each teacher on each sample; anything, NaN too, where its weight is 0
                (`fedkd.aggregation.teachers.spoken` puts 0 there).
            weights: sum to 1 over the teachers; 0 where a teacher said nothing.
        """


class MeanFusion(Fusion):
    """A fusion that is a mean of something that each teacher has by itself: teachers can be counted one by one."""

    @abstractmethod
    def summand(self, outputs: Float[Tensor, "n outputs"]) -> Float[Tensor, "n outputs"]:
        """Return what the mean is taken of, sample by sample.

        Args:
            outputs: raw outputs or log-probabilities of one teacher, on any of the samples, in float64.
        """

    @abstractmethod
    def finish(self, mean: Float[Tensor, "n outputs"]) -> Float[Tensor, "n outputs"]:
        """Return the fused scores.

        Args:
            mean: the weighted mean of the summands, in float64.
        """

    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return what `finish` makes of the weighted mean of the teachers' summands."""
        total = torch.zeros(outputs.shape[1:], dtype=torch.float64)
        for said, weight in zip(outputs.double(), weights.double(), strict=True):
            total += weight[:, None] * self.summand(spoken(said, weight))
        return self.finish(total).to(outputs.dtype)


class ProbabilityMean(MeanFusion):
    """A fusion of the mean of the teachers' probabilities."""

    def summand(self, outputs: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Return the teacher's probabilities."""
        return softmax(outputs)


class ClasswiseFusion(Fusion):
    """A fusion that asks which classes each teacher has seen, as clients say it with a weighting that sends class counts."""

    by_class: ClassVar[bool] = True

    @abstractmethod
    def fuse_known(
        self,
        outputs: Float[Tensor, "teachers n classes"],
        weights: Float[Tensor, "teachers n"],
        known: Bool[Tensor, "teachers classes"],
    ) -> Float[Tensor, "n classes"]:
        """Return what `fuse` returns, with `known` saying which teacher has seen which class."""

    def fuse(
        self, outputs: Float[Tensor, "teachers n classes"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n classes"]:
        """Return the target of teachers that have seen all classes."""
        everything = torch.ones(len(outputs), outputs.shape[-1], dtype=torch.bool)
        return self.fuse_known(outputs, weights, everything)


class RandomFusion(Fusion):
    """A fusion that draws: from a stream of its round or, where nobody hands it one, from that of no round."""

    @abstractmethod
    def draw(
        self,
        outputs: Float[Tensor, "teachers n outputs"],
        weights: Float[Tensor, "teachers n"],
        generator: torch.Generator,
    ) -> Float[Tensor, "n outputs"]:
        """Return what `fuse` returns, with what is drawn from the generator."""

    def fuse(
        self, outputs: Float[Tensor, "teachers n outputs"], weights: Float[Tensor, "teachers n"]
    ) -> Float[Tensor, "n outputs"]:
        """Return the target with the numbers of a stream that is the same each time."""
        return self.draw(outputs, weights, Streams(0).torch("fusion"))


FLOOR = -708.0
"""What stands for the logarithm of 0: nearly that of the smallest normal number of float64."""


def log_probability(
    probabilities: Float[Tensor, "n classes"],
) -> Float[Tensor, "n classes"]:
    """Return the logarithm, at least -708: that of the smallest normal number of float64, where the mean may be 0."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
