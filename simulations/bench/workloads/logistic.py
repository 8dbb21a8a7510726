"""FedAvg of logistic regression on 784 inputs: one matrix product a step."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.settings import Settings, fashion, fedavg
from simulations.bench.tables import Report, compared

TITLE = "Logistic regression on 784 inputs, FedAvg"


def run(settings: Settings) -> list[Report]:
    """Run 50 clients a round on Fashion-MNIST, 1,024 samples each, 5 passes in batches of 32: 160 steps."""
    clients, samples, epochs = settings.pick(50, 4), settings.pick(1024, 64), settings.pick(5, 1)
    work = [*fedavg(epochs), *fashion(clients, samples), "model=logistic"]
    outcomes = Contest(work).run(contestants(settings), rounds=settings.pick(6, 2), repeats=settings.repeats)
    steps = epochs * samples // 32
    return [compared(f"{TITLE}: {clients} clients a round, {steps} steps of 32", outcomes, clients)]
