"""FedAvg of a small perceptron: many clients with tiny kernels, where everything but arithmetic counts."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.settings import Settings, fedavg, patches
from simulations.bench.tables import Report, compared

TITLE = "MLP 64-64-10, FedAvg"


def config(settings: Settings) -> list[str]:
    """Return the config: 1,000 clients a round, 10 steps of 32 each."""
    return [*fedavg(1), *patches(settings.pick(1000, 8), 320)]


def run(settings: Settings) -> list[Report]:
    """Run it for four rounds."""
    clients = settings.pick(1000, 8)
    outcomes = Contest(config(settings)).run(
        contestants(settings), rounds=settings.pick(4, 2), repeats=settings.repeats
    )
    return [compared(f"{TITLE}: {clients:,} clients a round, 10 steps of 32", outcomes, clients)]
