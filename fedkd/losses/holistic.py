"""The module of holistic knowledge: a graph of the nearest samples for each network, and what a node knows with its neighbours.

>>> loss = HKD((32,), (64,), neighbours=8)
>>> loss(student_features, teacher_features, student_logits, teacher_logits).backward()
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.losses.embeddings import cosines
from fedkd.losses.information import info_nce
from fedkd.losses.reductions import Reduction, unit
from fedkd.losses.regressors import Shape


class HKD(nn.Module):
    """Holistic knowledge: each network's embeddings, joined with those of the samples that it takes for alike, are told from others'.

    Of each network e_i is the learned embedding of a sample's features at length 1, N(i) the sample itself and those whose class
    probabilities have the largest cosines with its own. A graph convolution of one hop makes the holistic representation

        h_i = U e_i + V mean of e_j over N(i), at length 1

    and the loss is `info_nce` between the h of both networks, once from either side, plus `individual` times the same of the e.
    Features of any shape are flattened.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's features.
        neighbours: size of N(i); the whole batch, where that is smaller.
        width: of the embeddings and the representations.
        temperature: T > 0.
        individual: weight of the contrast of embeddings without neighbours.

    Source: Zhou, Wang, Chen, Chen, Wang, Wang & Bu, "Distilling Holistic Knowledge with Graph Neural Networks" (ICCV 2021); graph, graph
    convolution (topology-adaptive, of one hop), the contrast of embeddings and all defaults are those of the authors' code.
    Differs from it: h are compared with h of the same batch; the code compares them with remembered e, of 16,384 samples of other classes, and
    with the other network's h of the sample, into which the remembered e is mixed.
    """

    def __init__(
        self,
        student: Shape,
        teacher: Shape,
        *,
        neighbours: int = 8,
        width: int = 128,
        temperature: float = 0.07,
        individual: float = 1.0,
    ) -> None:
        super().__init__()
        self._neighbours, self._temperature, self._individual = neighbours, temperature, individual
        self.student, self.teacher = (nn.Linear(math.prod(shape), width) for shape in (student, teacher))
        self.student_graph, self.teacher_graph = (nn.Linear(2 * width, width) for _ in range(2))

    def forward(
        self,
        student: Float[Tensor, "batch ..."],
        teacher: Float[Tensor, "batch ..."],
        student_logits: Float[Tensor, "batch classes"],
        teacher_logits: Float[Tensor, "batch classes"],
        labels: Int[Tensor, " batch"] | None = None,
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*batch"]:
        """Return the contrast of the holistic representations and of the embeddings.

        Args:
            student: features of the student.
            teacher: features of the teacher; no gradient.
            student_logits: what the student says, for its graph alone; no gradient.
            teacher_logits: what the teacher says (or logarithms of probabilities), for its graph; no gradient.
            labels: samples of one label are not told from each other; without them all are.
            reduction: mean over the batch, sum, or one value a sample.
        """
        mine = unit(self.student(student.flatten(1)))
        theirs = unit(self.teacher(teacher.detach().flatten(1)))
        holistic = (
            self.student_graph(_joined(mine, nearest(student_logits, self._neighbours))),
            self.teacher_graph(_joined(theirs, nearest(teacher_logits, self._neighbours))),
        )
        loss = self._contrast(*holistic, labels, reduction)
        return loss + self._individual * self._contrast(mine, theirs, labels, reduction)

    def _contrast(
        self, one: Tensor, other: Tensor, labels: Tensor | None, reduction: Reduction
    ) -> Float[Tensor, "*batch"]:
        sides = ((one, other), (other, one))
        first, second = (
            info_nce(*side, labels, temperature=self._temperature, reduction=reduction) for side in sides
        )
        return first + second


def nearest(logits: Float[Tensor, "batch classes"], neighbours: int) -> Int[Tensor, "batch nearest"]:
    """Return the rows of the samples whose class probabilities have the largest cosines with each sample's, itself first.

    Args:
        logits: of the samples; no gradient.
        neighbours: how many rows, itself among them; the whole batch, where that is smaller.
    """
    similar = cosines(logits.detach().softmax(dim=1))
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return similar.masked_fill(itself, 2.0).topk(min(neighbours, len(logits)), dim=1).indices


def _joined(
    embeddings: Float[Tensor, "batch width"], rows: Int[Tensor, "batch _"]
) -> Float[Tensor, "batch both"]:
    """Return beside each embedding the mean of its neighbours'; of a sample that has none but itself, itself again."""
    return torch.cat((embeddings, embeddings[rows].mean(dim=1)), dim=1)
