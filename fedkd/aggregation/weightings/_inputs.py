"""Inputs as vectors, for weightings that compare a client's samples with the proxy set."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.data.samples import Samples


def vectors(samples: Samples) -> Float[Tensor, "n features"]:
    """Return all views of each sample, one after the other, in float64."""
    views = [view.reshape(len(view), math.prod(view.shape[1:])) for view in samples.inputs.values()]
    return torch.cat(views, dim=-1).double()
