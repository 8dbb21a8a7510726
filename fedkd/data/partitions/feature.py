"""Feature shift: the same classes everywhere, seen through another lens at every client.

Source: noise that grows with the number of the client is the feature skew of Q. Li, Y. Diao, Q. Chen and B. He,
"Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022, section 4.2; rotation by client as in
D. Lopez-Paz and M. Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017 (by task there).
"""

from dataclasses import dataclass

import numpy as np

from fedkd.data.datasets.base import DataSet, Indices
from fedkd.data.partitions.base import Partitioner
from fedkd.data.shift import Kind, Shift
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Positive
from fedkd.foundation.seeding import Streams

STRENGTHS: dict[Kind, float] = {"rotation": 45.0, "noise": 0.3, "blur": 1.0}


@dataclass(frozen=True, kw_only=True)
class Feature(Partitioner):
    """Every client gets a random part of the pool of images, and changes them in a way of its own.

    Strengths are spread evenly over the clients: rotation from -strength to +strength, noise and blur from 0 to
    strength. Validation, test and proxy images stay as they are.
    """

    kind: Kind = "rotation"
    "What differs between clients: rotation, noise or blur."
    strength: Positive | None = None
    "Of the most changed client: degrees (45), standard deviation in units of white (0.3), or radius in pixels (1)."

    def check(self, data: DataSet, pool: int, clients: int) -> None:
        """Refuse data without images."""
        super().check(data, pool, clients)
        if not any(len(shape) == 3 for shape in data.views.values()):
            raise IllegalCombination(
                f"partition=feature changes images, and data={data.name()} has none; choose another partition"
            )

    def owners(self, groups: Indices, clients: int, generator: np.random.Generator) -> Indices:
        """Deal a shuffled pool round."""
        return generator.permutation(np.arange(len(groups)) % clients)

    def shift(self, clients: int, streams: Streams) -> Shift:
        """Return the change of each client."""
        strength = self.strength or STRENGTHS[self.kind]
        if clients == 1:
            return Shift(self.kind, np.zeros(1), streams)
        return Shift(
            self.kind, np.linspace(-strength if self.kind == "rotation" else 0.0, strength, clients), streams
        )
