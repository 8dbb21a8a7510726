"""Local structure preserving; `fedkd.losses.lsp`, on the data's graph, or on that in which all samples of a batch are neighbours.

Yang et al., "Distilling Knowledge from Graph Convolutional Networks" (CVPR 2020).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.losses.graphs import neighbour_rows
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class LSP(RelationTerm):
    """How each sample's similarity is spread over its neighbours.

    With S_i(j) = exp(-|h_i - h_j|_1 / scale) for the neighbours j of sample i that are in the batch:

        L = mean_i KL(softmax_j S_i of the teacher || softmax_j S_i of the student)

    A batch should hold most of the graph, or there are no neighbours in it.
    """

    scale: Positive = 100.0
    """Distance over which similarity falls to 1/e."""

    links: str | None = None
    """View that lists the number of a sample and those of its neighbours (`links` of data=cora); none takes all of a batch for neighbours."""

    @property
    def of_inputs(self) -> tuple[str, ...]:
        """The view of the graph, where one is named."""
        return () if self.links is None else (self.links,)

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean divergence."""
        del learned
        graph = None if self.links is None else neighbour_rows(lesson.inputs[self.links])
        return losses.lsp(*self.layers(lesson), graph, scale=self.scale)
