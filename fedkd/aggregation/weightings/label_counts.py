"""Teachers count by how many labels of a task they have seen: a head is spoken of by those who learned it.

With n_k^h the number of client k's training samples whose class in head h is known, the weight of client k on that head of any sample is

    w_k^h = n_k^h / sum over j of n_j^h

A head that a teacher never learned is left out of its answer, whatever the fusion: its weight there is 0. So specialists of different tasks make
one student with a head for each task, as the teachers of Ghiasi et al., "Multi-Task Self-Training for Learning General Representations"
(ICCV 2021) and of Ye et al., "Student Becoming the Master: Knowledge Amalgamation for Joint Scene Parsing, Depth Estimation, and More"
(CVPR 2019) do. In a classification it is the number of labelled samples, of a text the labels of each place.

Not in the paper: several teachers of one task. On a head that nobody has learned all count alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import LABEL_COUNTS, Form, Teachers, Witness
from fedkd.aggregation.weightings.base import LoneWeighting


@dataclass(frozen=True, kw_only=True)
class LabelCounts(LoneWeighting):
    """`n_k^h / sum_j n_j^h` with the number n_k^h of training samples of teacher k whose class in head h is known."""

    needs_classes: ClassVar[bool] = True

    @property
    def sends(self) -> Mapping[str, Form]:
        """How many labels a client has for each answer of a sample."""
        return {LABEL_COUNTS: "answers"}

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return the counts."""
        del generator
        answers = client.on_proxy(ids[:1]).shape[1:-1].numel()
        known = client.private().targets >= 0
        return {LABEL_COUNTS: known.reshape(len(known), answers).sum(dim=0).float()}

    def alone(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return the counts of the answer that each row is."""
        return teachers.sent[LABEL_COUNTS]
