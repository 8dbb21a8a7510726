"""Client strategies: what one client does in a round. One file per method; the engine runs it for all clients."""

from fedkd.clients.base import ClientStrategy, Situation, Stage, Step, samplewise
from fedkd.foundation.registry import Family

CLIENTS = Family("client strategy", "fedkd.clients", "ClientStrategy", "fedkd.clients")

__all__ = ["CLIENTS", "ClientStrategy", "Situation", "Stage", "Step", "samplewise"]
