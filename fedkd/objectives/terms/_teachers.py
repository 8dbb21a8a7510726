"""What terms that look at all teachers at once share: teachers by name, and a tally of how much each counted."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination


def teachers_in(layers: Iterable[str], layer: str, *, term: str) -> list[str]:
    """Return the full names `<teacher>/<layer>` of a layer of each teacher, in order.

    Args:
        layers: names of all layers that are there.
        layer: the layer.
        term: who asks, for messages.

    Raises:
        IllegalCombination: there are none.
    """
    names = sorted(name for name in layers if name.endswith(f"/{layer}"))
    if not names:
        raise IllegalCombination(
            f"{term} looks at teachers one by one, and only what they say together is here; take method.strategy=offline_distillation"
        )
    return names


class Tally(nn.Module):
    """How much each teacher counted, batch by batch.

    Args:
        names: full names of a layer of each teacher.
    """

    total: Float[Tensor, " teachers"]

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = [name.partition("/")[0] for name in names]
        self.register_buffer("total", torch.zeros(len(self.names), dtype=torch.float64), persistent=False)

    def add(self, weights: Float[Tensor, " teachers"]) -> None:
        """Count the weights of a batch."""
        self.total += weights.detach().double()

    def shares(self) -> dict[str, float]:
        """Return each teacher's share of all that was counted, by its name; nothing before the first batch."""
        whole = float(self.total.sum())
        return dict(zip(self.names, (self.total / whole).tolist(), strict=True)) if whole > 0 else {}
