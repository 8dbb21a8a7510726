"""Plain training on the client's own data: the client of FedAvg (McMahan et al., 2017) and FedDF (Lin et al., 2020).

    L = CE(p, y)

p is what the network says of a sample with the label y; of numbers, it is the squared error.
"""

from dataclasses import dataclass

from fedkd.clients.base import ClientStrategy


@dataclass(frozen=True, kw_only=True)
class Supervised(ClientStrategy):
    """Starts from the weights it receives and trains on its own data."""
