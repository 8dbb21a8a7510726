"""Several networks as one: what they say together is the mean of what the task averages."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedkd.models.base import Outputs
from fedkd.tasks import Task


class Together(nn.Module):
    """Networks that speak as one, all alike; for reports, so nothing learns through it.

    Args:
        networks: at least one; each reads the same views.
        task: says what is averaged.
    """

    def __init__(self, networks: Sequence[nn.Module], task: Task) -> None:
        super().__init__()
        self.networks, self._task = nn.ModuleList(networks), task
        self.view, self.views = (getattr(networks[0], name, None) for name in ("view", "views"))

    def forward(self, *views: Tensor) -> Outputs:
        """Return the outputs of the ensemble, which also serve as features."""
        said = [network(*views) for network in self.networks]
        outputs = torch.stack([each.logits if isinstance(each, Outputs) else each for each in said])
        together = self._task.combine(outputs, torch.full((len(said),), 1.0 / len(said)))
        return Outputs(together, together)
