"""FedAvg of logistic regression on 784 inputs: one matrix product a step."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.settings import Settings, fashion, fedavg
from simulations.bench.tables import Report, compared

TITLE = "Logistic regression on 784 inputs, FedAvg"


def config(settings: Settings) -> list[str]:
    """Return the config: 50 clients a round on Fashion-MNIST, 1,024 samples each, 5 passes in batches of 32: 160 steps."""
    clients, samples = settings.pick(50, 4), settings.pick(1024, 64)
    return [*fedavg(settings.pick(5, 1)), *fashion(clients, samples), "model=logistic"]


def run(settings: Settings) -> list[Report]:
    """Run it for six rounds."""
    clients, steps = settings.pick(50, 4), settings.pick(160, 2)
    outcomes = Contest(config(settings)).run(
        contestants(settings), rounds=settings.pick(6, 2), repeats=settings.repeats
    )
    return [compared(f"{TITLE}: {clients} clients a round, {steps} steps of 32", outcomes, clients)]
