"""Recognition: outputs are embeddings whose angles say who is of one person, targets are identities.

Those of test data were never seen in training, so no output can name them. Networks that were trained apart have axes of their own:
whatever is compared or combined here are angles between samples, which a rotation does not change.
"""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.losses.embeddings import cosine_relations, cosines, from_cosines, supervised_contrastive
from fedkd.losses.reductions import unit
from fedkd.tasks._pairs import neighbourhoods, rank_one, rounded_cosines, verification
from fedkd.tasks.base import Task

FAR = 0.01
"""The false accept rate at which the true accept rate is reported."""

_PAIRS_AT_ONCE = 2**20
"""Pairs of samples that are measured at once, over all networks: temporaries of 8 MB each."""


class Recognition(Task):
    """Who is of one person; outputs are embeddings of any length.

    The score is the area under the ROC curve: it counts all pairs, and that of chance is one half whatever the set, while rank-1
    identification is nearly perfect on small galleries, and its chance depends on them.
    """

    score: ClassVar[str] = "auc"
    metric_names: ClassVar[tuple[str, ...]] = ("auc", "eer", "tar_at_far_0.01", "rank_1", "loss")
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"auc", "tar_at_far_0.01", "rank_1"})
    probabilistic: ClassVar[bool] = False
    embeds: ClassVar[bool] = True
    samplewise: ClassVar[bool] = False

    def supervised(
        self, outputs: Float[Tensor, "n width"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the supervised contrastive loss of each sample within the batch; see `supervised_contrastive`."""
        return supervised_contrastive(outputs, targets, reduction="none")

    def natural_divergence(
        self, student: Float[Tensor, "n width"], teacher: Float[Tensor, "n _"], temperature: float
    ) -> Float[Tensor, " n"]:
        """Return the mean squared difference of each sample's cosines to the others of the batch; an angle has no temperature."""
        del temperature
        return cosine_relations(student, teacher, reduction="none")

    def measured(
        self, outputs: Float[Tensor, "clients n width"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return AUC, equal error rate, true accept rate at 1 % false ones, rank-1 identification, and the contrastive loss.

        The first three are over all pairs; in rank-1 each sample is looked for among all others. They are NaN where there are no pairs
        of one person or of two, the loss where nobody has a partner, all for networks that say something that is not finite.
        """
        together = max(_PAIRS_AT_ONCE // len(targets) ** 2, 1)
        return torch.cat(
            [self._measured(some, targets) for some in torch.split(outputs.detach().double(), together)]
        )

    def _measured(self, outputs: Tensor, targets: Tensor) -> Tensor:
        similar = rounded_cosines(outputs)
        known = len(torch.unique(targets)) < len(targets)
        losses = [
            supervised_contrastive(one, targets) if known else one.new_tensor(float("nan")) for one in outputs
        ]
        columns = torch.cat(
            [
                verification(similar, targets, far=FAR),
                rank_one(similar, targets)[:, None],
                torch.stack(losses)[:, None],
            ],
            dim=1,
        )
        return columns.where(outputs.isfinite().all(dim=-1).all(dim=-1)[:, None], float("nan"))

    def summand(self, outputs: Float[Tensor, "n width"]) -> Float[Tensor, "n n"]:
        """Return the cosine of every two samples: axes of several networks have nothing in common."""
        return cosines(outputs.detach().double())

    def summand_and_losses(
        self, outputs: Float[Tensor, "n width"], targets: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n n"], Float[Tensor, " n"]]:
        """Return the cosines, and for every sample the loss of all together: embeddings of two networks cannot stand side by side.

        The best answer of several teachers, the oracle, is therefore the best teacher.
        """
        loss = supervised_contrastive(outputs.detach().double(), targets)
        return self.summand(outputs), loss.expand(len(targets)).clone()

    def from_mean(self, mean: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
        """Return embeddings whose cosines are the mean ones, as wide as there are samples."""
        return from_cosines(mean, len(mean))

    def combine(
        self, outputs: Float[Tensor, "teachers n width"], weights: Float[Tensor, " teachers"]
    ) -> Float[Tensor, "n _"]:
        """Return the teachers' embeddings side by side, so long that their cosines are the weighted mean of the teachers'."""
        sides = unit(outputs.double()) * weights.double().sqrt()[:, None, None]
        return sides.transpose(0, 1).flatten(1).to(outputs.dtype)

    def harden(self, teacher: Float[Tensor, "n width"]) -> Int[Tensor, " n"]:
        """Return pseudo-identities: samples that are joined by chains of nearest neighbours; see `neighbourhoods`."""
        return neighbourhoods(cosines(teacher.detach()))

    def agreement(self, first: Float[Tensor, "n _"], second: Float[Tensor, "n _"]) -> float:
        """Return the share of samples for which two models name the same other one as the nearest; NaN for one sample alone."""
        if len(first) < 2:
            return float("nan")
        itself = torch.eye(len(first), dtype=torch.bool, device=first.device)
        named = [
            rounded_cosines(said[None])[0].masked_fill(itself, -torch.inf).argmax(dim=-1)
            for said in (first, second)
        ]
        return float((named[0] == named[1]).double().mean())

    def chance(self, targets: Int[Tensor, " n"]) -> float:
        """Return one half: the area under the curve of a model to which all pairs are alike."""
        del targets
        return 0.5

    def died(self, outputs: Float[Tensor, "clients n width"]) -> Bool[Tensor, " clients"]:
        """Return whether each network gives every sample the same direction, or something that is not finite."""
        finite = outputs.isfinite().all(dim=-1).all(dim=-1)
        if outputs.shape[1] < 2:
            return ~finite
        directions = unit(outputs)
        return ~finite | (directions.amax(dim=1) - directions.amin(dim=1) < 1e-6).all(dim=-1)
