"""The engine: runs client strategies, many clients at once or one after the other, and what a client keeps between rounds."""

from fedkd.engine.beginning import Turn, turns_of
from fedkd.engine.client import ClientSide
from fedkd.engine.handlers import evaluate, evaluate_together, train, train_together

__all__ = ["ClientSide", "Turn", "evaluate", "evaluate_together", "train", "train_together", "turns_of"]
