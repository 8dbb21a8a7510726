"""Training alone: the client keeps its network and never hears of the others. The lower reference of every comparison.

    L = CE(p, y)

p is what the network says of a sample with the label y; of numbers, it is the squared error.
"""

from dataclasses import dataclass
from typing import ClassVar

from fedkd.clients.base import ClientStrategy


@dataclass(frozen=True, kw_only=True)
class Isolated(ClientStrategy):
    """Keeps its network from round to round and trains on its own data only."""

    persistent: ClassVar[bool] = True
