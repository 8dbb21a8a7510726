"""How far a network can be believed about each class, from labelled samples that it has not learned.

>>> credibility(outputs, targets, classes=10, measure="confidence")
tensor([0.93, 0.41, ...])
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Measure = Literal["confidence", "unconfused"]


def credibility(
    outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"], *, classes: int, measure: Measure
) -> Float[Tensor, " classes"]:
    """Return a number from 0 to 1 for each class; a class without samples gets 0.

    With A_jk the share of class j that is taken for class k:

    - `confidence`: the mean probability that the samples of the class have for it (FedCAD).
    - `unconfused`: `A_kk (1 - max_(j != k) A_jk)`: the class is found, and no other is taken for it (FedSSD).

    Source: He et al., "Class-Wise Adaptive Self Distillation for Federated Learning on Non-IID Data" (AAAI 2022); He et al.,
    "Learning Critically: Selective Self Distillation in Federated Learning on Non-IID Data" (IEEE Transactions on Big Data, 2022).
    """
    rows = F.one_hot(targets, classes).to(outputs.dtype)
    said = (
        F.softmax(outputs, dim=-1)
        if measure == "confidence"
        else F.one_hot(outputs.argmax(dim=-1), classes).to(outputs.dtype)
    )
    shares = rows.T @ said / rows.sum(dim=0).clamp_min(1.0)[:, None]
    found = shares.diagonal()
    if measure == "confidence":
        return found.clone()
    others = shares - torch.diag(found)
    return found * (1.0 - others.amax(dim=0))
