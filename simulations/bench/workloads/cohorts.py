"""The cost of a client when there are more of them in a round: what is paid once a round is shared, and nothing grows."""

from simulations.bench.contest import Contest, Outcome, contestants
from simulations.bench.settings import Settings, fedavg, patches
from simulations.bench.tables import YARDSTICK, Report, ratios, spread

TITLE = "10 to 10,000 clients a round"


def run(settings: Settings) -> list[Report]:
    """Run FedAvg of MLP 64-64-10, each client 10 steps of 32 on the same 32 samples."""
    sizes = (10, 30) if settings.quick else (10, 100, 1000, 10_000)
    players = contestants(settings)
    if not settings.quick:
        players = [
            player
            for player in players
            if player.name == YARDSTICK
            or (player.peer == "ours" and player.processes == 2 and not player.slow)
        ]
    found: dict[int, list[Outcome]] = {}
    for clients in sizes:
        large = clients >= 10_000
        found[clients] = Contest([*fedavg(10), *patches(clients, 32)]).run(
            players,
            rounds=2 if large else settings.pick(4, 2),
            repeats=min(settings.repeats, 1) if large else settings.repeats,
        )
    rows = []
    for place, name in enumerate(outcome.contestant.name for outcome in found[sizes[0]]):
        base: list[float] = []
        for clients, outcomes in found.items():
            outcome = outcomes[place]
            cost = [1000 * seconds / clients for seconds in outcome.later]
            base = base or cost
            shown = outcome.failure[:120] or spread(cost, 3)
            rows.append([name, f"{clients:,}", shown, spread(ratios(cost, base))])
    numbers = {
        clients: {outcome.contestant.name: outcome.rounds for outcome in outcomes}
        for clients, outcomes in found.items()
    }
    columns = ["contestant", "clients a round", "a client, ms", f"as a multiple of {sizes[0]} clients"]
    return [Report(f"{TITLE}: FedAvg of MLP 64-64-10, 10 steps of 32", columns, rows, (), numbers)]
