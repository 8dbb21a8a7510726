"""Many teachers into one as their answers come. Where the parts allow it, only sums are held, never all answers.

>>> folding = Folding(ERA(), Uniform(), samples=len(proxy))
>>> for client, outputs in answers:
...     folding.add(client, outputs, size=100)
>>> folding.result().scores
tensor([[...]])
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.fusions.base import Fusion, MeanFusion
from fedkd.aggregation.sums import Sum
from fedkd.aggregation.weightings.base import LoneWeighting, Weighting, shares


class Fused(NamedTuple):
    """What all teachers together say.

    Attributes:
        scores: [heard, outputs] float32, scores whose softmax is the target (for numbers: the numbers).
        heard: [heard] the samples that at least one teacher spoke about, rising.
        weights: each client's mean weight over these samples.
    """

    scores: Float[Tensor, "heard outputs"]
    heard: Int[Tensor, " heard"]
    weights: Mapping[int, float]


class _Teacher(NamedTuple):
    """One client's answer, or what is still needed of it: `rows` are the samples it is about, none is all."""

    rows: Int[Tensor, " m"] | None
    said: Tensor
    size: float


class Folding:
    """Fuses answers that come one by one; the result does not depend on their order.

    Where the fusion is a mean (`MeanFusion`) and a teacher can be weighed alone (`LoneWeighting`), an answer is added to a
    sum and let go; otherwise all answers are held. An answer that is missing is a weight of 0, never a vector of zeros.

    Args:
        fusion, weighting: how answers become one.
        samples: how many samples there are to speak about.
    """

    def __init__(self, fusion: Fusion, weighting: Weighting, *, samples: int) -> None:
        self._way: _Way = (
            _Summed(fusion, weighting, samples)
            if isinstance(fusion, MeanFusion) and isinstance(weighting, LoneWeighting)
            else _Held(fusion, weighting, samples)
        )

    def add(
        self,
        client: int,
        outputs: Float[Tensor, "m outputs"],
        *,
        size: int,
        rows: Int[Tensor, " m"] | None = None,
    ) -> None:
        """Count an answer.

        Args:
            client: who speaks; each client speaks once.
            outputs: raw outputs or log-probabilities.
            size: how many training samples stand behind it.
            rows: the samples that the answer is about, each at most once; none is all of them, in order.
        """
        self._way.add(client, outputs, float(size), rows)

    def result(self) -> Fused:
        """Return what those who were counted say together."""
        return self._way.result()


class _Way(ABC):
    """One of the two ways to fuse."""

    @abstractmethod
    def add(
        self, client: int, outputs: Float[Tensor, "m outputs"], size: float, rows: Int[Tensor, " m"] | None
    ) -> None: ...

    @abstractmethod
    def result(self) -> Fused: ...


class _Summed(_Way):
    """Holds the sums; of each client no more than its weights, and those as one number where they are all alike."""

    def __init__(self, fusion: MeanFusion, weighting: LoneWeighting, samples: int) -> None:
        self._fusion, self._weighting, self._samples, self._width = fusion, weighting, samples, 0
        self._total, self._weight = Sum(0), Sum(samples)
        self._silent = torch.ones(samples, dtype=torch.bool)
        self._counted: dict[int, _Teacher] = {}

    def add(
        self, client: int, outputs: Float[Tensor, "m outputs"], size: float, rows: Int[Tensor, " m"] | None
    ) -> None:
        if not self._counted:
            self._width = outputs.shape[1]
            self._total = Sum(self._samples * self._width)
        said = outputs.double()
        weights = self._weighting.alone(said, size).double()
        term = self._fusion.summand(said) * weights[:, None]
        if rows is not None:
            term = torch.zeros(self._samples, self._width, dtype=torch.float64).index_copy_(0, rows, term)
        self._total.add(term.numpy().reshape(-1))
        self._weight.add(_whole(weights, rows, self._samples).numpy())
        self._silent[slice(None) if rows is None else rows] = False
        alike = bool((weights == weights[:1]).all())
        self._counted[client] = _Teacher(rows, (weights[:1] if alike else weights).clone(), size)

    def result(self) -> Fused:
        heard = (~self._silent).nonzero().flatten()
        weight = torch.from_numpy(self._weight.result())
        share = torch.where(weight > 0, 1.0 / weight, 0.0)
        total = torch.from_numpy(self._total.result()).reshape(self._samples, self._width)
        mean = total * share[:, None]
        whole = _mean(share, heard)
        means = {
            client: float(said) * whole
            if rows is None and len(said) == 1
            else _mean(said * (share if rows is None else share[rows]), heard)
            for client, (rows, said, _) in sorted(self._counted.items())
        }
        return Fused(self._fusion.finish(mean[heard]).float(), heard, means)


class _Held(_Way):
    """Holds all answers, and fuses them in the order of clients."""

    def __init__(self, fusion: Fusion, weighting: Weighting, samples: int) -> None:
        self._fusion, self._weighting, self._samples = fusion, weighting, samples
        self._counted: dict[int, _Teacher] = {}

    def add(
        self, client: int, outputs: Float[Tensor, "m outputs"], size: float, rows: Int[Tensor, " m"] | None
    ) -> None:
        self._counted[client] = _Teacher(rows, outputs.float(), size)

    def result(self) -> Fused:
        clients = sorted(self._counted)
        width = next((said.shape[1] for _, said, _ in self._counted.values()), 0)
        outputs = torch.zeros(len(clients), self._samples, width)
        present = torch.zeros(len(clients), self._samples)
        for place, client in enumerate(clients):
            rows, said, _ = self._counted[client]
            outputs[place, slice(None) if rows is None else rows] = said
            present[place, slice(None) if rows is None else rows] = 1.0
        heard = present.any(dim=0).nonzero().flatten()
        outputs, present = outputs[:, heard], present[:, heard]
        sizes = torch.tensor([self._counted[client].size for client in clients])
        weights = shares(self._weighting.weigh(outputs, sizes) * present)
        means = weights.mean(dim=1).tolist() if len(heard) else [0.0] * len(clients)
        return Fused(self._fusion.fuse(outputs, weights), heard, dict(zip(clients, means, strict=True)))


def _mean(weights: Float[Tensor, " m"], heard: Int[Tensor, " heard"]) -> float:
    """Return the mean over the samples that were heard, 0 where nothing was said; NumPy sums alike with any threads."""
    return float(weights.numpy().sum()) / max(len(heard), 1)


def _whole(weights: Float[Tensor, " m"], rows: Int[Tensor, " m"] | None, samples: int) -> Tensor:
    """Return the weight on every sample, 0 where nothing was said."""
    if rows is None:
        return weights
    return torch.zeros(samples, dtype=weights.dtype).index_copy_(0, rows, weights)
