"""FedAvg of a small perceptron: many clients with tiny kernels, where everything but arithmetic counts."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.settings import Settings, fedavg, patches
from simulations.bench.tables import Report, compared

TITLE = "MLP 64-64-10, FedAvg"


def run(settings: Settings) -> list[Report]:
    """Run 1,000 clients a round, 10 steps of 32 each."""
    clients = settings.pick(1000, 8)
    outcomes = Contest([*fedavg(1), *patches(clients, 320)]).run(
        contestants(settings), rounds=settings.pick(4, 2), repeats=settings.repeats
    )
    return [compared(f"{TITLE}: {clients:,} clients a round, 10 steps of 32", outcomes, clients)]
