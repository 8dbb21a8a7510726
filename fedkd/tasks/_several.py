"""Tasks whose samples have several answers, each a distribution: the places of a text, the heads of a network."""

from abc import ABC

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fedkd.tasks._distributions import Distributions, softmax


class SeveralAnswers(Distributions, ABC):
    """A sample has several answers, [samples, answers, classes]; its targets are [samples, answers], -1 where one is not known."""

    def rows(self, said: Shaped[Tensor, "n answers ..."]) -> Shaped[Tensor, "rows ..."]:
        """Return the distributions, or the targets, of all answers that are asked for."""
        return self._asked(said).flatten(0, 1)

    def of_samples(self, values: Float[Tensor, " rows"], count: int) -> Float[Tensor, " n"]:
        """Return the mean over the answers of each sample."""
        return values.reshape(count, -1).mean(dim=-1)

    def supervised(
        self, outputs: Float[Tensor, "n answers classes"], targets: Int[Tensor, "n answers"]
    ) -> Float[Tensor, " n"]:
        """Return the mean cross-entropy of each sample's known answers in nats; 0 for a sample without any."""
        said, true = self._asked(outputs), self._asked(targets)
        # Written out: a loss that ignores targets does not vectorise.
        losses = -F.log_softmax(said, dim=-1).gather(-1, true.clamp_min(0)[..., None])[..., 0]
        return _mean_of_known(losses, true >= 0)

    def summand_and_losses(
        self, outputs: Float[Tensor, "n answers classes"], targets: Int[Tensor, "n answers"]
    ) -> tuple[Float[Tensor, "n answers classes"], Float[Tensor, " n"]]:
        """Return the probabilities, and the mean cross-entropy of each sample's known answers in nats."""
        said = softmax(outputs.detach())
        losses = self._asked(said.losses(outputs.detach(), targets.clamp_min(0)))
        return said.probabilities(), _mean_of_known(losses, self._asked(targets) >= 0)

    def agreement(
        self, first: Float[Tensor, "n answers classes"], second: Float[Tensor, "n answers classes"]
    ) -> float:
        """Return the share of answers in which two models name the same class or symbol."""
        same = self.rows(first).argmax(dim=-1) == self.rows(second).argmax(dim=-1)
        return float(same.double().mean())

    def _asked(self, said: Shaped[Tensor, "n answers ..."]) -> Shaped[Tensor, "n asked ..."]:
        """Return what is said of the answers that are asked for; by default of all."""
        return said


def _mean_of_known(
    losses: Float[Tensor, "n answers"], known: Bool[Tensor, "n answers"]
) -> Float[Tensor, " n"]:
    counted = torch.where(known, losses, 0.0).sum(dim=-1)
    return counted / known.sum(dim=-1).clamp_min(1)
