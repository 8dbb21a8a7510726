"""Sequence-level distillation: the student learns what the teachers would go on with, as if it were the true text.

Source: Kim & Rush, "Sequence-Level Knowledge Distillation" (EMNLP 2016), section 3.2. Of each prompt x the teachers' distribution over
whole continuations is replaced by its mode, which a beam search looks for:

    y = argmax_y t(y | x),   t(y | x) = prod_i t(y_i | x, y_1..y_(i-1)),   L = -(1/|y|) sum_i log p(y_i | x, y_1..y_(i-1))

t is what the teachers say together. Differs from the paper: all continuations have the same length, that of the samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.distillation.beam import beam_search
from fedkd.foundation.options import Count, Index
from fedkd.foundation.parts import Part

Speak = Callable[[Mapping[str, Tensor]], Float[Tensor, "n places symbols"]]
"""Returns what the teachers together say about any samples, as scores in log space."""


@dataclass(frozen=True, kw_only=True)
class Sequences(Part):
    """Whether a student learns whole continuations of its teachers, in place of a distribution for each symbol of the samples."""

    beam: Index = 0
    """Continuations that the beam search keeps; 0 learns symbol by symbol, as other knowledge is learned."""

    prompt: Count | None = None
    """Symbols of each sample that are given; none is the data's own prompt."""

    def given(self, prompt: int) -> int:
        """Return how many symbols are given, where the data gives so many."""
        return self.prompt or prompt

    @torch.no_grad()
    def continued(
        self, inputs: Mapping[str, Int[Tensor, "n places"]], speak: Speak, *, prompt: int
    ) -> tuple[dict[str, Int[Tensor, "n places"]], Int[Tensor, "n places"]]:
        """Return samples that go on as the teachers would, and their targets: -1 where the symbol was given.

        Args:
            inputs: the samples; of their first view the beginnings are kept.
            speak: the teachers.
            prompt: how many symbols the data gives.
        """
        view, symbols = next(iter(inputs.items()))
        given = self.given(prompt)
        whole, _ = beam_search(
            lambda tokens: speak({view: tokens})[:, -1],
            symbols[:, :given],
            length=symbols.shape[1] + 1 - given,
            width=self.beam,
        )
        targets = whole[:, 1:].clone()
        targets[:, : given - 1] = -1
        return {view: whole[:, :-1]}, targets
