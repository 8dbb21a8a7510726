"""Classification: outputs are class scores, targets are class numbers."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.tasks._distributions import Distributions, alike, softmax


class Classification(Distributions):
    """One of C classes; outputs are logits or log-probabilities."""

    score: ClassVar[str] = "accuracy"
    metric_names: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "loss", "ece")
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy", "macro_f1"})

    def supervised(
        self, outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Return the cross-entropy of each sample in nats."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def measured(
        self, outputs: Float[Tensor, "clients n classes"], targets: Int[Tensor, " n"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return accuracy, macro-F1 over the classes present, cross-entropy in nats and the calibration error (15 bins)."""
        outputs = outputs.detach()
        peak, predicted = outputs.max(dim=-1)
        said, right = softmax(outputs, peak), (predicted == targets).double()
        columns = (
            right.mean(dim=-1),
            _macro_f1(predicted, right, targets, outputs.shape[-1]),
            said.losses(outputs, targets).mean(dim=-1),
            _calibration(said.confidence, right, 15),
        )
        return torch.stack(columns, dim=-1)

    def summand_and_losses(
        self, outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """Return the probabilities, and the cross-entropy of each sample in nats."""
        said = softmax(outputs.detach())
        losses = said.losses(outputs.detach(), targets)
        return said.probabilities(), losses

    def agreement(self, first: Float[Tensor, "n classes"], second: Float[Tensor, "n classes"]) -> float:
        """Return the share of samples on which two models name the same class."""
        return float((first.argmax(dim=-1) == second.argmax(dim=-1)).double().mean())

    def chance(self, targets: Int[Tensor, " n"]) -> float:
        """Return the share of the most frequent class."""
        return float(torch.bincount(targets).max() / len(targets))

    def died(self, outputs: Float[Tensor, "clients n classes"]) -> Bool[Tensor, " clients"]:
        """Return whether each network gives every sample the same probabilities, or one that is not finite."""
        # The largest score of a sample says whether its probabilities are finite: NaN and +inf are larger than all else.
        died = ~outputs.amax(dim=-1).isfinite().all(dim=-1)
        # Most networks tell some of the first samples apart already.
        same = alike(outputs[:, :64])
        if outputs.shape[1] > 64 and bool(same.any()):
            same[same.clone()] = alike(outputs[same])
        return died | same


def calibration_error(
    outputs: Float[Tensor, "n classes"], targets: Int[Tensor, " n"], *, bins: int = 15
) -> float:
    """Return the expected calibration error: mean |accuracy - confidence| over equal bins of confidence, by their share.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
    """
    peak, predicted = outputs[None].detach().max(dim=-1)
    confidence = softmax(outputs[None].detach(), peak).confidence
    return float(_calibration(confidence, (predicted == targets).double(), bins)[0])


def _macro_f1(
    predicted: Int[Tensor, "clients n"],
    right: Float[Tensor, "clients n"],
    targets: Int[Tensor, " n"],
    classes: int,
) -> Float[Tensor, " clients"]:
    """Return the mean over the classes present of `2 hits / (times named + times present)`."""
    named = _by_client(predicted, torch.ones_like(right), classes)
    hits = _by_client(targets.expand(predicted.shape), right, classes)
    present = torch.bincount(targets, minlength=classes)
    return (2 * hits / (named + present))[:, present > 0].mean(dim=-1)


def _calibration(
    confidence: Float[Tensor, "clients n"], right: Float[Tensor, "clients n"], bins: int
) -> Float[Tensor, " clients"]:
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    return _by_client(place, right - confidence, bins).abs().sum(dim=-1) / confidence.shape[-1]


def _by_client(
    place: Int[Tensor, "clients n"], values: Float[Tensor, "clients n"], places: int
) -> Float[Tensor, "clients places"]:
    """Return the sum of the values in each place, client by client."""
    clients = len(place)
    shifted = place + places * torch.arange(clients, device=place.device)[:, None]
    sums = torch.bincount(shifted.flatten(), weights=values.flatten(), minlength=clients * places)
    return sums.view(clients, places)
