"""Regressors, which make the student's features fit the teacher's, and what learns variances with them.

>>> loss = VID((32, 7, 7), (64, 7, 7))
>>> optimizer = torch.optim.SGD([*student.parameters(), *loss.parameters()], lr=0.1)
>>> loss(student_maps, teacher_maps).backward()

Shapes are those of a layer's output without the batch: (width,) or (channels, height, width). Weights are drawn from PyTorch's current
generator.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.information import vid
from fedkd.losses.reductions import Reduction

Shape = tuple[int, ...]
"""Shape of a layer's output without the batch."""


class Regressor(nn.Module):
    """Gives the student's features the teacher's shape: a 1 x 1 convolution for maps, a linear layer for vectors.

    Maps of another size are average-pooled, or repeated where they are smaller; maps become a vector by the mean of each channel.
    With `always=False` features that fit already pass as they are, and nothing is learned.

    Raises:
        IllegalCombination: the student has vectors and the teacher maps.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets" (ICLR 2015), section 2.2.
    """

    def __init__(self, student: Shape, teacher: Shape, *, hidden: int = 0, always: bool = True) -> None:
        super().__init__()
        if len(teacher) not in {1, 3} or len(student) not in {1, 3} or len(student) < len(teacher):
            raise IllegalCombination(
                f"no regressor leads from features of shape {list(student)} to {list(teacher)}; tap maps [channels, height, width] of both networks, "
                "or vectors of both"
            )
        self._size = teacher[1:]
        self._pools = len(student) > len(teacher)
        sizes = [student[0], *[teacher[0]] * (hidden + 1)]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Conv2d(before, after, 1) if self._size else nn.Linear(before, after), nn.ReLU()]
        fits = student == teacher and not always
        self.layers = nn.Identity() if fits else nn.Sequential(*layers[:-1])

    def forward(self, features: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Return the features in the teacher's shape."""
        if self._pools:
            features = features.mean(dim=(2, 3))
        said: Tensor = self.layers(features)
        if said.shape[2:] == self._size:
            return said
        height, width = self._size
        return F.adaptive_avg_pool2d(said, (height, width))


class VID(nn.Module):
    """Variational information with its regressor of three layers and one variance a channel, which starts at 5.

    Source: Ahn et al., "Variational Information Distillation for Knowledge Transfer" (CVPR 2019), equations 5 and 6.
    """

    def __init__(self, student: Shape, teacher: Shape, *, variance: float = 5.0, floor: float = 1e-5) -> None:
        super().__init__()
        self.mean = Regressor(student, teacher, hidden=2)
        self._floor = floor
        self.spread = nn.Parameter(torch.full((teacher[0],), math.log(math.expm1(variance - floor))))

    def variance(self) -> Float[Tensor, " channels"]:
        """Return the variance of each channel: `softplus(spread)` and a floor."""
        return F.softplus(self.spread) + self._floor

    def forward(
        self,
        student: Float[Tensor, "batch ..."],
        teacher: Float[Tensor, "batch ..."],
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*batch"]:
        """Return `vid` of the regressed features."""
        return vid(self.mean(student), teacher, self.variance(), reduction=reduction)
