"""A small decoder over symbols: causal self-attention in residual blocks with LayerNorm before each part, a linear head.

Sources: Vaswani et al., "Attention Is All You Need" (NeurIPS 2017), with learned positions; the place of LayerNorm is that of Xiong et al.,
"On Layer Normalization in the Transformer Architecture" (ICML 2020). With queries Q, keys K and values V of a head of d numbers,

    attention = softmax(Q K^T / sqrt(d) + M) V,   M = 0 up to the place itself, minus infinity after it

Attention is written out, so that clients can be trained at once (`torch.func.vmap` has no rule for the fused kernel on a CPU).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.options import Count
from fedkd.models._sequences import require_sequence, spoken
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class Transformer(Model):
    """Sees all symbols up to a place and scores the next one there."""

    width: Count = 32
    """Numbers that stand for a place, in and between blocks."""

    heads: Count = 2
    """Heads of attention; must divide `width`."""

    blocks: Count = 2
    """Blocks of attention and a fully connected part."""

    hidden: Count = 64
    """Units of the fully connected part."""

    reads_symbols: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the width."""
        if self.width % self.heads:
            raise InvalidOption("model.heads", self.heads, f"a divisor of model.width={self.width}")

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network; the symbols that are read are those that are scored, and no sequence may be longer than the data's."""
        require_sequence("transformer", shape)
        return _Decoder(self, shape[0], num_outputs)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        each = [
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.inward(x).chunk(3, dim=-1)
        ]
        queries, keys, values = each  # [batch, heads, places, numbers of a head]
        scores = queries @ keys.mT / math.sqrt(queries.shape[-1])
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        said = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ values
        mixed: Tensor = self.outward(said.transpose(1, 2).flatten(2))
        return mixed


class _Block(nn.Module):
    def __init__(self, options: Transformer) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(options.width)
        self.attention = _Attention(options.width, options.heads)
        self.dense_norm = nn.LayerNorm(options.width)
        self.dense = nn.Sequential(
            nn.Linear(options.width, options.hidden), nn.GELU(), nn.Linear(options.hidden, options.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = x + self.attention(self.attention_norm(x))
        said: Tensor = attended + self.dense(self.dense_norm(attended))
        return said


class _Decoder(nn.Module):
    def __init__(self, options: Transformer, longest: int, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, options.width)
        self.positions = nn.Parameter(torch.randn(longest, options.width))
        self.body = nn.Sequential(*(_Block(options) for _ in range(options.blocks)))
        self.norm = nn.LayerNorm(options.width)
        self.head = nn.Linear(options.width, symbols)

    def forward(self, symbols: Tensor) -> Outputs:
        x = self.embedding(symbols) + self.positions[: symbols.shape[-1]]
        return spoken(self.head, self.norm(self.body(x)))
