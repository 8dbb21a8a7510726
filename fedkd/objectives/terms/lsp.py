"""Local structure preserving: Yang et al. (CVPR 2020); `fedkd.losses.lsp`, on the graph in which all samples of a batch are neighbours."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from fedkd import losses
from fedkd.foundation.options import Positive
from fedkd.objectives.terms.base import Lesson, RelationTerm


@dataclass(frozen=True, kw_only=True)
class LSP(RelationTerm):
    """How each sample's similarity is spread over the others."""

    scale: Positive = 100.0
    """Distance over which similarity falls to 1/e."""

    def loss(self, lesson: Lesson, learned: nn.Module | None) -> Float[Tensor, ""]:
        """Return the mean divergence."""
        del learned
        return losses.lsp(*self.layers(lesson), scale=self.scale)
