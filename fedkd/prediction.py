"""Outputs of many networks of one architecture at once."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.models.base import run_with


@torch.no_grad()
def predict_stacked(
    network: nn.Module, weights: Mapping[str, Tensor], inputs: Mapping[str, Tensor], *, batch_size: int = 1000
) -> Float[Tensor, "clients n outputs"]:
    """Return the logits of stacked networks in evaluation mode for every sample, in order."""
    network.eval()
    size = len(next(iter(inputs.values())))
    pieces = [
        torch.func.vmap(lambda own, x: run_with(network, own, x).logits, in_dims=(0, None))(
            dict(weights), {view: x[start : start + batch_size] for view, x in inputs.items()}
        )
        for start in range(0, max(size, 1), batch_size)
    ]
    return torch.cat(pieces, dim=1)
