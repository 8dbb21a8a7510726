"""Generation: outputs are scores of the symbol that comes next, one distribution for each place; targets are these symbols.

An output is [samples, places, symbols], a target [samples, places], with -1 where no symbol is known. With a prompt of P symbols, which are
given, what is asked begins with the symbol after the P-th: loss, divergence and metrics leave out the places before it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.tasks._distributions import alike, softmax
from fedkd.tasks._several import SeveralAnswers


@dataclass(frozen=True)
class Generation(SeveralAnswers):
    """The next symbol, again and again.

    Args:
        prompt: how many symbols of each sample are given; 0 asks for the symbol after every place.
    """

    prompt: int = 0

    score: ClassVar[str] = "accuracy"
    metric_names: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "bits_per_character",
        "perplexity",
        "exact_match",
        "loss",
    )
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy", "exact_match"})
    continues: ClassVar[bool] = True

    @classmethod
    def of(cls, data: DataInfo) -> "Generation":
        """Return the task with the data's prompt."""
        return cls(prompt=data.prompt)

    @classmethod
    def answer(cls, data: DataInfo | DataSet) -> tuple[int, ...]:
        """Return [places, symbols]; there are as many places as the main view has."""
        return (*next(iter(data.views.values())), data.num_outputs)

    def measured(
        self, outputs: Float[Tensor, "clients n places symbols"], targets: Int[Tensor, "n places"]
    ) -> Float[Tensor, "clients metrics"]:
        """Return the metrics over all known symbols; without any they are NaN.

        These are the share of symbols that are named right, bits a symbol (cross-entropy in base 2), perplexity (e to the cross-entropy),
        the share of samples of which every known symbol is named right, and the cross-entropy in nats. The fourth is how often greedy
        decoding gives exactly what follows: as long as it is right, it reads what stands in the sample.
        """
        outputs, true = outputs.detach(), self._asked(targets)
        said, known = outputs[:, :, outputs.shape[2] - true.shape[1] :], true >= 0
        right = said.argmax(dim=-1) == true
        exact = (right | ~known).all(dim=-1)[:, known.any(dim=-1)]
        told = said[:, known]
        loss = softmax(told).losses(told, true[known]).mean(dim=-1)
        columns = (
            right[:, known].double().mean(dim=-1),
            loss / math.log(2.0),
            loss.exp(),
            exact.double().mean(dim=-1),
            loss,
        )
        return torch.stack(columns, dim=-1)

    def chance(self, targets: Int[Tensor, "n places"]) -> float:
        """Return the share of the most frequent of the known symbols; 0 without any."""
        symbols = self.rows(targets)
        symbols = symbols[symbols >= 0]
        return float(torch.bincount(symbols).max() / len(symbols)) if len(symbols) else 0.0

    def died(self, outputs: Float[Tensor, "clients n places symbols"]) -> Bool[Tensor, " clients"]:
        """Return whether each network says the same of every place, or something that is not finite."""
        finite = outputs.amax(dim=-1).isfinite().flatten(1).all(dim=-1)
        some = outputs[:, :8].flatten(1, 2)
        same = alike(some)
        if bool(same.any()):
            same[same.clone()] = alike(outputs[same].flatten(1, 2))
        return ~finite | same

    def _asked(self, said: Shaped[Tensor, "n places ..."]) -> Shaped[Tensor, "n asked ..."]:
        """Return what is said of the places behind the prompt."""
        return said[:, max(self.prompt - 1, 0) :]
