"""What losses refuse: shapes that do not go together, options out of range, labels that are no class.

>>> agree("kd", torch.Size([4, 5]), torch.Size([1, 5]))
Traceback (most recent call last):
fedkd.foundation.errors.IllegalCombination: kd: got shapes [4, 5] and [1, 5], allowed are equal ones

Only shapes and options are read, never a tensor's numbers: nothing waits for a GPU, and `vmap`, recordings and compilers see none of it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination, InvalidOption, nearest


def agree(loss: str, *shapes: Sequence[int], what: str = "shapes") -> None:
    """Raise `IllegalCombination` unless shapes are equal, which PyTorch would otherwise repeat where they are 1.

    Args:
        loss: its name.
        shapes: of tensors, or the parts of them that must be equal.
        what: which parts.
    """
    if any(shape != shapes[0] for shape in shapes):
        given = " and ".join(str(list(shape)) for shape in shapes)
        raise IllegalCombination(f"{loss}: got {what} {given}, allowed are equal ones")


def positive(key: str, number: float) -> None:
    """Raise `InvalidOption` unless a number is > 0."""
    if not number > 0:
        raise InvalidOption(key, number, "a number > 0")


def one_of(key: str, name: str, allowed: Sequence[str]) -> None:
    """Raise `InvalidOption` unless a name is among the allowed."""
    if name not in allowed:
        raise InvalidOption(key, name, " or ".join(allowed), nearest(name, allowed))


def one_hot(loss: str, targets: Int[Tensor, " batch"], classes: int) -> Bool[Tensor, "batch classes"]:
    """Return for each sample and class whether it is the sample's own.

    Raises:
        IllegalCombination: a label is below 0, or `classes` or more. On a GPU it is PyTorch that stops the process, as of all its indices.
    """
    none = torch.zeros(len(targets), classes, dtype=torch.bool, device=targets.device)
    try:
        return none.scatter(1, targets[:, None].long(), value=True)
    except RuntimeError as error:
        raise IllegalCombination(f"{loss}: targets are classes from 0 to {classes - 1}; {error}") from error
