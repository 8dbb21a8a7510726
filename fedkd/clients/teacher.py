"""A teacher of offline distillation (Hinton, Vinyals & Dean, 2015): trains on its own data, from weights of its own, and hears of nobody."""

from dataclasses import dataclass
from typing import ClassVar

from fedkd.clients.base import ClientStrategy


@dataclass(frozen=True, kw_only=True)
class Teacher(ClientStrategy):
    """Keeps its network from round to round, which starts from weights of its own: teachers of one architecture differ."""

    persistent: ClassVar[bool] = True
    own_initialisation: ClassVar[bool] = True
