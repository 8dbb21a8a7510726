"""The two networks of factor transfer.

>>> paraphraser, translator = Paraphraser(64), Translator(32, 32)
>>> factor_transfer(translator(student_maps), paraphraser(teacher_maps), form="factors")
tensor(...)
"""

import itertools

from jaxtyping import Float
from torch import Tensor, nn


class Paraphraser(nn.Module):
    """An autoencoder of the teacher's maps, whose code are the factors that the student learns.

    Args:
        channels: of the teacher's maps.
        factors: channels of the code; half as many, if not given.

    Source: Kim, Park & Kwak, "Paraphrasing Complex Network" (NeurIPS 2018), section 3.1.
    """

    def __init__(self, channels: int, factors: int | None = None) -> None:
        super().__init__()
        self.factors = factors or max(channels // 2, 1)
        self.encoder = _three(nn.Conv2d, channels, channels, self.factors, self.factors)
        self.decoder = _three(nn.ConvTranspose2d, self.factors, self.factors, channels, channels)

    def forward(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch factors h w"]:
        """Return the factors."""
        factors: Tensor = self.encoder(maps)
        return factors

    def reconstruction(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, ""]:
        """Return the mean squared error with which maps are made again from their factors; trains the autoencoder."""
        known = maps.detach()
        made: Tensor = self.decoder(self.encoder(known))
        return (made - known).square().mean()


class Translator(nn.Module):
    """Makes factors of the student's maps, as many as a paraphraser has.

    Source: Kim, Park & Kwak, "Paraphrasing Complex Network" (NeurIPS 2018), section 3.2.
    """

    def __init__(self, channels: int, factors: int) -> None:
        super().__init__()
        self.encoder = _three(nn.Conv2d, channels, channels, factors, factors)

    def forward(self, maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch factors h w"]:
        """Return the factors."""
        factors: Tensor = self.encoder(maps)
        return factors


def _three(kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], *sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [kind(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)
