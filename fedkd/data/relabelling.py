"""Wrong labels and unknown ones: a client that was taught something else, or less. Deterministic: the same client always sees the same.

>>> Relabelling("next_class", (0.0, 1.0), Streams(0)).apply(samples, client=1, part="train")
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from fedkd.data.samples import Samples
from fedkd.data.shift import Change
from fedkd.foundation.seeding import Streams

Wrong = Literal["next_class", "shuffled", "shifted"]


@dataclass(frozen=True, eq=False)
class Relabelling:
    """A change of the labels that each client trains on.

    Args:
        kind: the next one of the classes that the client has, the first after the last: a teacher that is sure and wrong. Or
            labels that are dealt anew among the samples that are changed: a teacher that is unsure. Or numbers that are too large by
            one standard deviation: a teacher of numbers that is sure and wrong.
        shares: share of each client's samples whose label is changed, rounded.
        streams: samples and their order are drawn from the stream `labels` of the client.
    """

    kind: Wrong
    shares: Sequence[float]
    streams: Streams

    def apply(self, samples: Samples, client: int, part: Literal["train", "holdout"]) -> Samples:
        """Return the samples as the client knows them; what it holds out keeps its true labels.

        Args:
            samples: all samples of this part of this client, in their own order.
            client: number of the client.
            part: only `train` is changed.
        """
        count = round(self.shares[client] * len(samples))
        if part == "holdout" or not count:
            return samples
        drawn = torch.randperm(len(samples), generator=self.streams.torch("labels", client=client))[:count]
        targets = samples.targets.clone()
        if self.kind == "shuffled":
            targets[drawn.sort().values] = targets[drawn]
        elif self.kind == "shifted":
            targets[drawn] += 1.0
        else:
            classes, place = np.unique(samples.targets.numpy(), return_inverse=True)
            targets[drawn] = torch.from_numpy(classes[(place[drawn.numpy()] + 1) % len(classes)])
        return replace(samples, targets=targets)


@dataclass(frozen=True, eq=False)
class Hiding:
    """Heads of which each client knows no class, where a sample has a class for each of several heads.

    Args:
        known: the heads that each client knows.
        before: what is done to its samples first, None for nothing.
    """

    known: Sequence[Sequence[int]]
    before: Change | None = None

    def apply(self, samples: Samples, client: int, part: Literal["train", "holdout"]) -> Samples:
        """Return the samples as the client knows them; the classes of the other heads are -1, in what it holds out too."""
        seen = samples if self.before is None else self.before.apply(samples, client, part)
        own = torch.zeros(seen.targets.shape[1], dtype=torch.bool)
        own[list(self.known[client])] = True
        return replace(seen, targets=seen.targets.masked_fill(~own, -1))
