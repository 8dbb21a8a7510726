"""The engine: runs client strategies, one client after the other, and keeps what a client knows between rounds."""

from fedkd.engine.client import ClientSide
from fedkd.engine.handlers import evaluate, train

__all__ = ["ClientSide", "evaluate", "train"]
