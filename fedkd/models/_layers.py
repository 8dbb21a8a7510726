"""Fully connected layers, which several networks are made of."""

import itertools

from torch import nn


def layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Return fully connected layers with ReLU after each.

    Args:
        widths: of the input, and of each layer.
    """
    return nn.Sequential(
        *(
            part
            for before, after in itertools.pairwise(widths)
            for part in (nn.Linear(before, after), nn.ReLU())
        )
    )
