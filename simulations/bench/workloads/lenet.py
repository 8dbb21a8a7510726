"""FedAvg of LeNet on Fashion-MNIST: convolutions, where arithmetic counts and vectorising does not help a CPU."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.peers.ours import BFLOAT16
from simulations.bench.settings import Settings, fashion, fedavg
from simulations.bench.tables import Report, compared

TITLE = "LeNet on Fashion-MNIST, FedAvg"


def config(settings: Settings) -> list[str]:
    """Return the config: 50 clients a round, 10 steps of 32 each."""
    return [*fedavg(1), *fashion(settings.pick(50, 4), settings.pick(320, 64)), "model=lenet"]


def run(settings: Settings) -> list[Report]:
    """Run it for four rounds in float32, and in bfloat16 where a contestant says so."""
    clients, steps = settings.pick(50, 4), settings.pick(10, 2)
    outcomes = Contest(config(settings)).run(
        [*contestants(settings), *([] if settings.quick else [BFLOAT16])],
        rounds=settings.pick(4, 2),
        repeats=settings.repeats,
    )
    title = f"{TITLE}: {clients} clients a round, {steps} steps of 32"
    return [compared(title, outcomes, clients)]
