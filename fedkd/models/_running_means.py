"""Running means of weights, held beside them in the same network: parameters that do not learn.

A network that has them calls `peers` the module whose weights are followed, `mean` a module of the same form, and `steps` a parameter [1]
that counts how often the means were moved. So they travel, are stored and are averaged over clients as all other weights.
"""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

FOLLOWED, MEAN, STEPS = "peers.", "mean.", "steps"
"""What the names of the followed weights and of their means begin with; the name of the count."""


def standing_still(module: nn.Module) -> nn.Module:
    """Return a copy of a module that does not learn."""
    return copy.deepcopy(module).requires_grad_(requires_grad=False)


def moved(parameters: Mapping[str, Tensor], *, decay: float) -> dict[str, Tensor]:
    """Return the means, and their count, after a further step: `mean <- a mean + (1 - a) weight`, `a = min(1 - 1/n, decay)` in the n-th one.

    So it is the plain mean over all steps, until that is slower than the decay.

    Args:
        parameters: all of a network, by name.
        decay: the most that the mean keeps of itself, below 1.

    Source: Tarvainen & Valpola, "Mean Teachers Are Better Role Models" (NeurIPS 2017), for the decay and its beginning.
    """
    steps = parameters[STEPS] + 1.0
    share = steps.reciprocal().clamp(min=1.0 - decay)
    means = {
        name: mean + share * (parameters[FOLLOWED + name.removeprefix(MEAN)] - mean)
        for name, mean in parameters.items()
        if name.startswith(MEAN)
    }
    return {STEPS: steps, **means}
