"""Teachers count by how many samples of a class they have seen, as in FedFTG (Zhang et al., 2022).

Source: "Fine-tuning Global Model via Data-Free Knowledge Distillation for Non-IID Federated Learning" (CVPR 2022): the
weight of client k on a sample of class y is `n_k^y / sum_j n_j^y`. There the class is the one that a generator was asked
for; here it is the label of the proxy sample or, with `by=teachers`, what the teachers together take it for, which needs
no labels: `w_k = sum_y p(y) n_k^y` with the mean p of their probabilities.

What crosses tells the server how the classes of each client are distributed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import CLASS_COUNTS, Form, Need, Teachers, Witness, shares
from fedkd.aggregation.weightings.base import Weighting


@dataclass(frozen=True, kw_only=True)
class ClassCounts(Weighting):
    """`n_k^y / sum_j n_j^y` with the number n_k^y of training samples of class y that teacher k has seen.

    On a class that nobody has seen all count alike.
    """

    by: Literal["labels", "teachers"] = "labels"
    """Where the class of a sample is known from: the labels of the proxy set, or the mean of the teachers' probabilities."""

    needs_classes: ClassVar[bool] = True
    by_class: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """Counts from the clients, and labels unless the teachers take their place."""
        return frozenset({"clients", "labels"} if self.by == "labels" else {"clients"})

    @property
    def sends(self) -> Mapping[str, Form]:
        """How many samples of each class a client has."""
        return {CLASS_COUNTS: "classes"}

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return the counts."""
        del generator
        classes = client.on_proxy(ids[:1]).shape[-1]
        return {CLASS_COUNTS: torch.bincount(client.private().targets, minlength=classes).float()}

    def weigh(self, teachers: Teachers) -> Float[Tensor, "teachers n"]:
        """Return each teacher's share of the samples of the class."""
        counts = teachers.sent[CLASS_COUNTS].double()
        if self.by == "labels":
            assert teachers.labels is not None
            weights = counts[:, teachers.labels]
        else:
            probabilities = F.softmax(teachers.outputs.double(), dim=-1) * teachers.present[..., None]
            weights = counts @ probabilities.sum(dim=0).T
        return shares(weights, teachers.present).to(teachers.outputs.dtype)
