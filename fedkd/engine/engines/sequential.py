"""One client after the other, in plain PyTorch: the reference, and the faster way for convolutions on CPUs."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedkd.engine.engines.base import TrainingEngine, Work


@dataclass(frozen=True, kw_only=True)
class Sequential(TrainingEngine):
    """Trains one client after the other; takes any network and any loss."""

    def cohorts(self, works: Sequence[Work]) -> list[list[int]]:
        """Return every client alone, in their order, which is also that of Flower's own runtime."""
        return [[position] for position in range(len(works))]

    def vectorises(self, architecture: str) -> bool:
        """Return no."""
        del architecture
        return False
