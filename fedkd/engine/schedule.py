"""What each client of a cohort does at each step: the batches of `fedkd.training.fit`, side by side.

>>> schedule = Schedule.draw(plan, sizes=[70, 64, 7], generators=generators)
>>> schedule.active[0], schedule.counts[:3, 0].tolist()
(3, [32, 32, 7])
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.training import Fit


@dataclass(frozen=True, eq=False)
class Schedule:
    """The batches of clients who are sorted by the number of their steps, most first.

    Args:
        plan: how long and with what.
        rows: positions among a client's samples; a batch that is not full is filled up with its own first row.
        counts: how many rows of each batch count; 0 once a client has finished.
        last: rows of each batch that belong to the client's last pass, over which its loss is averaged.
        steps: steps of each client.
    """

    plan: Fit
    rows: Int[Tensor, "clients steps batch"]
    counts: Int[Tensor, "clients steps"]
    last: Float[Tensor, "clients steps"]
    steps: Int[Tensor, " clients"]

    @classmethod
    def draw(cls, plan: Fit, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> "Schedule":
        """Draw each client's batches from its own generator, in the order in which `fit` would draw them.

        Args:
            plan: how long and with what.
            sizes: number of samples of each client, largest number of steps first.
            generators: one for each client.
        """
        steps = [plan.steps(size) for size in sizes]
        longest, width = max(steps, default=0), min(plan.batch_size, max(sizes, default=0))
        rows = torch.zeros(len(sizes), longest, width, dtype=torch.long)
        counts = torch.zeros(len(sizes), longest, dtype=torch.long)
        last = torch.zeros(len(sizes), longest)
        alike: dict[int, list[int]] = {}
        for client, (size, total, generator) in enumerate(zip(sizes, steps, generators, strict=True)):
            if not total:
                continue
            alike.setdefault(size, []).append(client)
            a_pass = -(-size // plan.batch_size)
            order = _passes(size, a_pass * width, -(-total // a_pass), generator, plan.batch_size)
            rows[client, :total] = order.view(-1, width)[:total]
        for size, clients in alike.items():
            total, a_pass = plan.steps(size), -(-size // plan.batch_size)
            count = torch.full((a_pass,), width)
            count[-1] = size - (a_pass - 1) * plan.batch_size
            counts[clients, :total] = count.repeat(-(-total // a_pass))[:total]
            begun = (total - 1) // a_pass * a_pass
            last[clients, begun:total] = counts[clients[0], begun:total].float()
        return cls(plan, rows, counts, last, torch.tensor(steps, dtype=torch.long))

    @functools.cached_property
    def active(self) -> list[int]:
        """How many clients, from the first one on, still train at each step."""
        found: list[int] = (self.counts > 0).sum(dim=0).tolist()
        return found

    @functools.cached_property
    def widths(self) -> list[tuple[int, int]]:
        """How many rows count in the smallest and in the largest batch of each step."""
        least = self.counts.masked_fill(self.counts == 0, self.plan.batch_size)
        return list(zip(least.amin(dim=0).tolist(), self.counts.amax(dim=0).tolist(), strict=True))

    def rates(self, step: int, active: int) -> float | Float[Tensor, " active"]:
        """Return the learning rate at this step: one for all, or that of each client under a schedule of its own length.

        Source of the cosine: Loshchilov & Hutter, "SGDR" (2017), equation 5, without restarts.
        """
        rate = self.plan.optimizer.lr
        if self.plan.schedule == "constant":
            return rate
        share = step / self.steps[:active].double()
        return rate * (1 + torch.cos(math.pi * share)) / 2


def _passes(
    size: int, padded: int, passes: int, generator: torch.Generator, batch_size: int
) -> Int[Tensor, " rows"]:
    """Return the shuffled positions of every pass; the last batch of a pass is filled up with its own first position."""
    orders = []
    for _ in range(passes):
        order = torch.randperm(size, generator=generator)
        if padded > size:
            first_of_last = order[(size - 1) // batch_size * batch_size]
            order = torch.cat([order, first_of_last.expand(padded - size)])
        orders.append(order)
    return torch.cat(orders)
