"""A first client strategy of one's own: clients that learn from smoothed labels, in co-distillation (DS-FL).

Label smoothing: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (CVPR 2016), section 7.

    python examples/first_strategy.py
"""

import sys
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

import fedkd
from fedkd.clients.base import Step
from fedkd.clients.codistillation import CoDistillation


@dataclass(frozen=True, kw_only=True)
class Smooth(CoDistillation):
    """Co-distillation with smoothed labels."""

    epsilon: float = 0.1
    """Share of the label that is spread evenly over all classes."""

    needs_classes: ClassVar[bool] = True

    def train_loss(self, step: Step) -> Tensor:
        """Return the cross-entropy against smoothed labels."""
        return F.cross_entropy(step.outputs.logits, step.targets, label_smoothing=self.epsilon)


def main(*overrides: str) -> None:
    """Run DS-FL with its own clients and with these, and print how good the student is on test data."""
    for client in ("codistillation", "first_strategy:Smooth"):
        result = fedkd.run("method=dsfl", f"method.client={client}", "runtime=inline", "rounds=3", *overrides)
        print(f"{client:24}{result.final['student/test/accuracy']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
