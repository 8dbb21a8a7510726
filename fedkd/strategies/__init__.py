"""Flower strategies: what the server does in a round. Each can be taken into a Flower app of one's own.

>>> strategy = DSFL(student=network, proxy=proxy, task=Classification())
>>> strategy.start(grid=grid, initial_arrays=ArrayRecord(network.state_dict()), num_rounds=10)
"""

from fedkd.foundation.registry import Family
from fedkd.strategies._federated import Failure, Federated, Sampling
from fedkd.strategies._offline import OfflineDistillation
from fedkd.strategies.averaging import FedAvg
from fedkd.strategies.base import ServerSide, ServerStrategy
from fedkd.strategies.class_means import FD
from fedkd.strategies.codistillation import DSFL, CoDistillationStrategy, FedMD
from fedkd.strategies.ensemble_distillation import FedDF
from fedkd.strategies.fedgems import FedGEMSStrategy
from fedkd.strategies.local import Local

STRATEGIES = Family("server strategy", "fedkd.strategies", "ServerStrategy", "fedkd.strategies")

FedProx = FedAvg
"""FedProx differs from FedAvg on the client side only (`fedkd.clients.fedprox`); the server averages alike."""

__all__ = [
    "DSFL",
    "FD",
    "STRATEGIES",
    "CoDistillationStrategy",
    "Failure",
    "FedAvg",
    "FedDF",
    "FedGEMSStrategy",
    "FedMD",
    "FedProx",
    "Federated",
    "Local",
    "OfflineDistillation",
    "Sampling",
    "ServerSide",
    "ServerStrategy",
]
