"""The one loop that trains a network, and the one step: clients' stages and the server's distillation run the loop, generators the step.

>>> fit(network, lambda rows: loss_of(rows), size=100, plan=Fit(epochs=2), generator=streams.torch("train"))
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Count, Index, NonNegative, OpenFraction, Positive
from fedkd.foundation.parts import Part

BatchLoss = Callable[[Int[Tensor, " batch"]], Float[Tensor, ""]]
"""The mean loss of the samples at these positions."""


@dataclass(frozen=True, kw_only=True)
class Optimizer(Part):
    """How weights follow the gradient."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """The rule: SGD, Adam, or Adam with decoupled weight decay."""

    lr: Positive = 0.05
    """Learning rate."""

    momentum: OpenFraction = 0.0
    """Momentum of SGD."""

    nesterov: bool = False
    """Nesterov's form of momentum (SGD)."""

    weight_decay: NonNegative = 0.0
    """Weight decay."""

    clip_norm: Positive | None = None
    """Largest norm of the gradient; none leaves it as it is."""

    def __post_init__(self) -> None:
        """Refuse Nesterov's form of a momentum that is not there."""
        if self.nesterov and not self.momentum:
            raise IllegalCombination("optimizer.nesterov=true needs optimizer.momentum above 0")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return a fresh optimiser for the network's trainable weights."""
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        # One kernel a weight in place of a dozen; on other devices PyTorch's own choice stands.
        fused = True if all(weight.device.type == "cpu" for weight in weights) else None
        match self.name:
            case "sgd" if not self.momentum and not self.weight_decay:
                return _PlainSGD(weights, lr=self.lr)
            case "sgd":
                return torch.optim.SGD(
                    weights,
                    lr=self.lr,
                    momentum=self.momentum,
                    nesterov=self.nesterov,
                    weight_decay=self.weight_decay,
                )
            case "adam":
                return torch.optim.Adam(weights, lr=self.lr, weight_decay=self.weight_decay, fused=fused)
            case "adamw":
                return torch.optim.AdamW(weights, lr=self.lr, weight_decay=self.weight_decay, fused=fused)


class _PlainSGD(torch.optim.SGD):
    """SGD without momentum or decay: the same update to the bit, without PyTorch's hooks, which take longer than the update of a small network."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                torch._foreach_add_(weights, [weight.grad for weight in weights], alpha=-group["lr"])

    step.hooked = True  # type: ignore[attr-defined]  # by which PyTorch knows that it need not wrap it


@dataclass(frozen=True, kw_only=True)
class Fit(Part):
    """How long and with what a network is trained."""

    epochs: Index = 1
    """Passes over the samples."""

    batch_size: Count = 32
    """Samples a step; the last step of a pass may be smaller."""

    max_steps: Count | None = None
    """Most steps in all; none is as many as the passes need."""

    optimizer: Optimizer = field(default_factory=Optimizer)
    """The optimiser and its settings."""

    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the steps: constant, or half a cosine down to zero."""

    def steps(self, size: int) -> int:
        """Return how many steps a training set of this size takes."""
        steps = self.epochs * -(-size // self.batch_size)
        return steps if self.max_steps is None else min(steps, self.max_steps)


def follow(optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""], clip_norm: float | None) -> None:
    """Take one step down the gradient of a loss, whatever else the loss depends on.

    Args:
        optimizer: holds the weights that move; no other weights get a gradient.
        loss: what is minimised.
        clip_norm: largest norm of the gradient of all these weights; none leaves it as it is.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    found: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, allow_unused=True)
    seen = set[int]()
    for weight, gradient in zip(weights, found, strict=True):
        weight.grad = gradient
        if gradient is None:
            continue
        # As `backward` does: fused optimisers read gradients in the order of the weights' memory, and clipping writes into each.
        if gradient.stride() != weight.stride() or gradient.data_ptr() in seen:
            weight.grad = torch.empty_like(weight).copy_(gradient)
        seen.add(gradient.data_ptr())
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()


def fit(
    network: nn.Module,
    loss: BatchLoss,
    *,
    size: int,
    plan: Fit,
    generator: torch.Generator,
    after_step: Callable[[], None] | None = None,
    after_epoch: Callable[[int], bool] | None = None,
) -> float:
    """Train a network in place on shuffled batches of positions.

    Args:
        network: trained in place, in training mode.
        loss: mean loss of a batch, given the positions of its samples.
        size: number of samples; with none nothing happens.
        plan: how long and with what.
        generator: draws the order of the samples.
        after_step: called after each step of the optimiser.
        after_epoch: told the number of passes done; returns True to stop early.

    Returns:
        The mean loss over the last pass (NaN when there was no step).
    """
    total = plan.steps(size)
    optimizer = plan.optimizer.start(network)
    decay = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(total, 1))
        if plan.schedule == "cosine"
        else None
    )
    network.train()
    step, last = 0, float("nan")
    for epoch in range(plan.epochs if total else 0):
        sums: Tensor | float = 0.0  # becomes a number on the device of the loss
        seen = 0
        for rows in torch.split(torch.randperm(size, generator=generator), plan.batch_size):
            if step == total:
                break
            value = loss(rows)
            follow(optimizer, value, plan.optimizer.clip_norm)
            if decay is not None:
                decay.step()
            if after_step is not None:
                after_step()
            sums = sums + value.detach() * len(rows)
            seen += len(rows)
            step += 1
        last = float(sums / max(seen, 1))
        if (after_epoch is not None and after_epoch(epoch + 1)) or step == total:
            break
    return last
