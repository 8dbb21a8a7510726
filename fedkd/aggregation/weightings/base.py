"""What a weighting must say. Whatever a method prints, weights here sum to 1 over the teachers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import Fault, Form, Need, Teachers, Witness, shares
from fedkd.foundation.parts import Part

LEAST = 2.0**-40
"""What stands for a weight of 0 where teachers are counted one by one, so that those who all weigh nothing count alike.

A power of two, so that they then give bit for bit what weights of 1 give."""


class Weighting(Part, ABC):
    """How much each teacher counts."""

    needs_classes: ClassVar[bool] = False
    """Whether it makes sense only for outputs that are distributions: over classes, symbols or items."""

    by_class: ClassVar[bool] = False
    """Whether it makes sense only where a sample is of one class."""

    compares_classes: ClassVar[bool] = False
    """Whether raw scores of all classes count, so that classes which an answer does not have would count too."""

    leaves_out: ClassVar[bool] = False
    """Whether teachers that score no better than chance on validation data count in no average of weights either."""

    @property
    def spots(self) -> frozenset[Fault]:
        """The faults for which a teacher loses most of its weight; `fedkd check` holds it to that."""
        return frozenset()

    @property
    def needs(self) -> frozenset[Need]:
        """What must be known besides what teachers say and how many samples they have seen."""
        return frozenset({"clients"}) if self.sends else frozenset()

    @property
    def sends(self) -> Mapping[str, Form]:
        """What each client sends beside its answer, by name; it is counted in the ledger."""
        return {}

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return what a client sends, under the names and in the shapes of `sends`; this runs where the client is.

        Args:
            client: the client after its training; it may have hardly any samples, or none.
            ids: the proxy samples that it speaks about.
            generator: for what is drawn; a stream of the client that is the same in every round.
        """
        del client, ids, generator
        return {}

    def accounts(self) -> Mapping[str, float]:
        """Return what is recorded of every round, by name, such as the privacy that all rounds together spend; by default nothing."""
        return {}

    @abstractmethod
    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the weight of every teacher on every sample; over those that spoke they sum to 1."""


class LoneWeighting(Weighting):
    """A weighting that weighs a teacher without a look at the others: teachers can be counted one by one."""

    @abstractmethod
    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the weight of each teacher, at least 0, which must not depend on the others; only ratios matter.

        Where teachers are counted one by one, it is given one at a time, with the samples that it spoke about, and not the
        student. Where all who spoke weigh 0, they count alike.
        """

    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return each teacher's share of what all weigh together."""
        doubled = replace(teachers, outputs=teachers.outputs.double(), sizes=teachers.sizes.double())
        weights = self.alone(doubled).double().clamp_min(LEAST)
        return shares(weights, teachers.present).to(teachers.outputs.dtype)
