"""A recurrent network over symbols: an embedding, gated recurrent units, a linear head that scores the next symbol.

Source: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation" (EMNLP 2014).
PyTorch's fused kernel cannot be vectorised over clients: such clients are trained one after the other.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from fedkd.foundation.options import Count
from fedkd.models._sequences import require_sequence, spoken
from fedkd.models.base import Model, Outputs


@dataclass(frozen=True, kw_only=True)
class GRU(Model):
    """Reads symbols from left to right and scores the next one at each place."""

    embedding: Count = 16
    """Numbers that stand for a symbol."""

    hidden: Count = 64
    """Units of each layer."""

    layers: Count = 1
    """Recurrent layers, one above the other."""

    reads_symbols: ClassVar[bool] = True

    def network(self, shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Build the network; the symbols that are read are those that are scored."""
        require_sequence("gru", shape)
        return _Recurrent(self, num_outputs)


class _Recurrent(nn.Module):
    def __init__(self, options: GRU, symbols: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, options.embedding)
        self.body = nn.GRU(options.embedding, options.hidden, options.layers, batch_first=True)
        self.head = nn.Linear(options.hidden, symbols)

    def forward(self, symbols: Tensor) -> Outputs:
        return spoken(self.head, self.body(self.embedding(symbols))[0])
