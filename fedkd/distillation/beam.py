"""Beam search: the continuation of a prompt that a model finds most probable, of those that it kept on the way.

>>> beam_search(lambda tokens: network(tokens).logits[:, -1], prompts, length=5, width=4)
(tensor([[0, 3, 1, 6, ...]]), tensor([-0.12]))
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def beam_search(
    score_next: Callable[[Int[Tensor, "m places"]], Float[Tensor, "m symbols"]],
    prompts: Int[Tensor, "n given"],
    *,
    length: int,
    width: int,
) -> tuple[Int[Tensor, "n whole"], Float[Tensor, " n"]]:
    """Continue prompts by so many symbols; with a width of 1 the search is greedy.

    Args:
        score_next: returns scores of the symbol after the last place, whose softmax is its distribution.
        prompts: what is given, at least one symbol.
        length: how many symbols follow; all continuations have this length.
        width: how many continuations of a prompt are kept at each step.

    Returns:
        Prompts and continuations, and the log-probability of each continuation in float64. Of equally probable ones those with the smaller
        symbols come first.
    """
    count = len(prompts)
    kept, probability = prompts[:, None], prompts.new_zeros(count, 1, dtype=torch.float64)
    for _ in range(length):
        said = F.log_softmax(score_next(kept.flatten(0, 1)).double(), dim=-1).view(*kept.shape[:2], -1)
        whole = (probability[..., None] + said).flatten(1)
        # Sorting is stable, a selection of the largest is not.
        best, where = whole.sort(dim=1, descending=True, stable=True)
        probability, where = best[:, :width], where[:, :width]
        before, symbol = where // said.shape[-1], where % said.shape[-1]
        kept = torch.cat(
            [kept.gather(1, before[..., None].expand(-1, -1, kept.shape[2])), symbol[..., None]], dim=2
        )
    return kept[:, 0], probability[:, 0]
