"""Optimisers of many clients at once: the rules of `torch.optim` on stacked weights, a slice of the stack for each client.

Each update touches the first `active` clients of the stack only: what has finished does not move, momentum included.

>>> optimizer = Stacked(Optimizer(lr=0.1, momentum=0.9), weights)
>>> optimizer.step(gradients, active=3, rates=0.1)
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from fedkd.training import Optimizer

_BETAS, _EPS = (0.9, 0.999), 1e-8
"""Adam's constants, which `torch.optim` has as its defaults (Kingma & Ba, 2015)."""


class Stacked:
    """The state of one optimiser for each client of a cohort; all clients have made the same number of steps.

    Args:
        rule: the optimiser and its settings.
        weights: name -> [clients, ...]; changed in place by `step`.
    """

    def __init__(self, rule: Optimizer, weights: Mapping[str, Tensor]) -> None:
        self.rule, self._weights = rule, dict(weights)
        self._steps = 0
        moments = {"sgd": 1 if rule.momentum else 0, "adam": 2, "adamw": 2}[rule.name]
        self._moments = [
            {name: torch.zeros_like(weight) for name, weight in weights.items()} for _ in range(moments)
        ]

    def step(
        self, gradients: Mapping[str, Tensor], *, active: int, rates: float | Float[Tensor, " active"]
    ) -> None:
        """Move the first `active` clients along their gradients, which stay as they are: two of them may be one tensor.

        Args:
            gradients: name -> [active, ...]; weights that are not named stay as they are.
            active: how many clients, from the first one on.
            rates: the learning rate, or that of each of these clients.
        """
        self._steps += 1
        names = list(gradients)
        if not names:
            return
        weights = [self._weights[name][:active] for name in names]
        grads = [gradients[name] for name in names]
        moments = [[moment[name][:active] for name in names] for moment in self._moments]
        if self.rule.clip_norm is not None:
            grads = _clipped(grads, self.rule.clip_norm)
        if self.rule.name == "sgd":
            self._sgd(weights, grads, moments, rates)
        else:
            self._adam(weights, grads, moments, rates)

    def _sgd(
        self,
        weights: list[Tensor],
        grads: list[Tensor],
        moments: list[list[Tensor]],
        rates: float | Tensor,
    ) -> None:
        if self.rule.weight_decay:
            grads = list(torch._foreach_add(grads, weights, alpha=self.rule.weight_decay))
        if self.rule.momentum:
            [velocity] = moments
            torch._foreach_mul_(velocity, self.rule.momentum)
            torch._foreach_add_(velocity, grads)
            if self.rule.nesterov:
                grads = list(torch._foreach_add(grads, velocity, alpha=self.rule.momentum))
            else:
                grads = velocity
        _descend(weights, grads, rates)

    def _adam(
        self,
        weights: list[Tensor],
        grads: list[Tensor],
        moments: list[list[Tensor]],
        rates: float | Tensor,
    ) -> None:
        first, second = moments
        if self.rule.weight_decay and self.rule.name == "adam":
            grads = list(torch._foreach_add(grads, weights, alpha=self.rule.weight_decay))
        elif self.rule.weight_decay:
            _descend(weights, torch._foreach_mul(weights, self.rule.weight_decay), rates)
        torch._foreach_lerp_(first, grads, 1 - _BETAS[0])
        torch._foreach_mul_(second, _BETAS[1])
        torch._foreach_addcmul_(second, grads, grads, 1 - _BETAS[1])
        corrections = [1 - beta**self._steps for beta in _BETAS]
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, corrections[1] ** 0.5)
        torch._foreach_add_(scale, _EPS)
        if isinstance(rates, float):
            torch._foreach_addcdiv_(weights, first, scale, -rates / corrections[0])
            return
        _descend(weights, torch._foreach_div(first, scale), rates / corrections[0])


def _descend(
    weights: list[Tensor], directions: list[Tensor] | tuple[Tensor, ...], rates: float | Tensor
) -> None:
    """Subtract the directions, by the learning rate of each client."""
    if isinstance(rates, float):
        torch._foreach_add_(weights, directions, alpha=-rates)
        return
    for weight, direction in zip(weights, directions, strict=True):
        weight.sub_(direction * rates.to(weight).view(-1, *(1,) * (weight.ndim - 1)))


def _clipped(grads: list[Tensor], largest: float) -> list[Tensor]:
    """Return each client's gradient, shortened to the norm that is allowed, as `clip_grad_norm_` does for one network."""
    norms = torch.stack([torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads])
    scale = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    return [grad * scale.view(-1, *(1,) * (grad.ndim - 1)) for grad in grads]
