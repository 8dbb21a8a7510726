"""The options of a run that belong to no part, and the baselines that can run beside a method."""

from dataclasses import dataclass
from typing import Literal

from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.options import Count, Index, Positive
from fedkd.foundation.parts import Part

Baseline = Literal["local_only", "fedavg", "pooled", "proxy_labels", "pseudo_labels"]
BASELINES: tuple[Baseline, ...] = ("local_only", "fedavg", "pooled", "proxy_labels", "pseudo_labels")


@dataclass(frozen=True, kw_only=True)
class Settings(Part):
    """The options of a run that belong to no part."""

    seed: Index = 0
    """Root seed; data split, initialisation, sampling and training have streams of their own below it."""

    rounds: Count = 10
    """Rounds of communication."""

    clients: Count = 10
    """Clients in the federation; each holds one partition."""

    clients_per_round: Count | None = None
    """Clients that take part in a round, drawn anew each round; none is all of them."""

    min_clients: Count = 1
    """Fewest usable answers that a round can go on with; with fewer the run ends, resumable."""

    evaluate_every: Count = 1
    """Rounds between evaluations; the last round is always evaluated."""

    client_timeout: Positive | None = None
    """Seconds to wait for a round's answers, of all clients together; none waits for ever."""

    threads: Count | Literal["auto"] = "auto"
    """PyTorch threads of the server's own work; auto is all cores at hand. Another number can change the last bits of results."""

    output: str | None = None
    """The run folder; none makes one below runs/."""

    baselines: str | list[str] = "none"
    """Baselines to run beside the method, on the same budget: all, none, or a list of local_only, fedavg, pooled, proxy_labels, pseudo_labels."""


def baselines_of(given: str | list[str]) -> tuple[Baseline, ...]:
    """Return the baselines that are asked for, in their own order.

    Raises:
        InvalidOption: there is none of such a name.
    """
    if given == "all":
        return BASELINES
    if given == "none":
        return ()
    names = [given] if isinstance(given, str) else given
    for name in names:
        if name not in BASELINES:
            raise InvalidOption(
                "baselines",
                name,
                f"all, none, or some of {', '.join(BASELINES)}",
                nearest(name, [*BASELINES, "all", "none"]),
            )
    return tuple(baseline for baseline in BASELINES if baseline in names)
