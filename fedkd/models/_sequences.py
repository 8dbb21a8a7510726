"""What networks over sequences of symbols have in common: what they read, and what they return."""

from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.models.base import Outputs


def require_sequence(name: str, shape: tuple[int, ...]) -> None:
    """Refuse inputs that are not one row of symbols."""
    if len(shape) != 1:
        raise IllegalCombination(
            f"model={name} reads sequences of symbols, this data has inputs of shape {list(shape)}; take model=mlp"
        )


def spoken(head: nn.Module, states: Float[Tensor, "batch places width"]) -> Outputs:
    """Return the head's scores of the next symbol at each place; the features of a sample are the mean over its places."""
    return Outputs(head(states), states.mean(dim=1))
