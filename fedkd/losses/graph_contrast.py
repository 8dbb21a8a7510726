"""The module of graph contrastive representation distillation: heads that bring both networks' nodes into one space.

>>> loss = GCRD((32,), (96,))
>>> loss(student_nodes, teacher_nodes).backward()
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.losses.information import info_nce
from fedkd.losses.reductions import Reduction, reduce
from fedkd.losses.regressors import Shape


class GCRD(nn.Module):
    """Graph contrastive representation distillation: `info_nce` between nodes, each network's behind a head that is learned along.

    A head is a linear map, batch normalisation and ReLU. Features of any shape are flattened. A single node is told from nothing, and
    costs nothing.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's features.
        width: of the space of both.
        temperature: T > 0.

    Source: Joshi, Liu, Xun, Lin & Foo, "On Representation Knowledge Distillation for Graph Neural Networks" (IEEE TNNLS 2022); heads and
    temperature are those of the authors' code.
    """

    def __init__(
        self, student: Shape, teacher: Shape, *, width: int = 256, temperature: float = 0.075
    ) -> None:
        super().__init__()
        self._temperature = temperature
        # The statistics are those of the batch: no head is used once the student has learned.
        self.student, self.teacher = (
            nn.Sequential(
                nn.Linear(math.prod(shape), width),
                nn.BatchNorm1d(width, track_running_stats=False),
                nn.ReLU(),
            )
            for shape in (student, teacher)
        )

    def forward(
        self,
        student: Float[Tensor, "nodes ..."],
        teacher: Float[Tensor, "nodes ..."],
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*nodes"]:
        """Return how well each node of the student is told from the teacher's other nodes.

        Args:
            student: features of the nodes of a batch, or of a whole graph.
            teacher: features of the same nodes; no gradient.
            reduction: mean over the nodes, sum, or one value a node.
        """
        mine, theirs = student.flatten(1), teacher.detach().flatten(1)
        if len(mine) < 2:  # of one node there are no statistics
            return reduce(0.0 * mine.sum(dim=1), reduction)
        return info_nce(
            self.student(mine), self.teacher(theirs), temperature=self._temperature, reduction=reduction
        )
