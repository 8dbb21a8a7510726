"""DS-FL of a small perceptron: clients keep their weights, digest the consensus, train, and say what a proxy set is."""

from simulations.bench.contest import Contest, contestants
from simulations.bench.job import DSFL
from simulations.bench.settings import Settings, patches, plan
from simulations.bench.tables import Report, compared

TITLE = "MLP 64-64-10, DS-FL"


def run(settings: Settings) -> list[Report]:
    """Run 1,000 clients a round: 10 steps of 32 on 320 proxy samples (not in the first round), 10 on their own."""
    clients = settings.pick(1000, 8)
    work = [
        "method=dsfl",
        "proxy=noise",
        "proxy.size=320",
        *(f"method.{stage}.fit={plan(1)}" for stage in ("client", "distiller")),
        f"method.client.digest={plan(1)}",
    ]
    contest = Contest([*work, *patches(clients, 320)], DSFL, parity_rounds=2)
    outcomes = contest.run(contestants(settings), rounds=settings.pick(3, 2), repeats=settings.repeats)
    title = f"{TITLE}: {clients:,} clients a round, 10 steps of 32 on the proxy set and 10 on their own"
    note = "The first round has no consensus to digest: it is about half the work."
    return [compared(title, outcomes, clients, [note])]
