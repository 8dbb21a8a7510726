"""A contest: first the weights of all contestants are compared, then those that did the same work are timed in turn.

>>> contest = Contest(["method=fedavg", "data=digits"], FEDAVG, settings)
>>> outcomes = contest.run(contestants(), rounds=3)
"""

import importlib
import json
import pkgutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from simulations.bench import peers
from simulations.bench.environments import NotInstalled, python_of
from simulations.bench.job import FEDAVG, Contestant, Job
from simulations.bench.material import Material
from simulations.bench.prepare import prepare
from simulations.bench.processes import Broken, run
from simulations.bench.settings import Settings


@dataclass
class Outcome:
    """How a contestant did.

    Args:
        contestant: who.
        difference: how far the change of the weights is from the reference's, relative to it; NaN where there are none.
        failure: why it is not timed; empty if it is.
        rounds: seconds of the rounds of each repeat, the first round first.
        whole: seconds of each repeat from the start of its process to its end.
    """

    contestant: Contestant
    difference: float = float("nan")
    failure: str = ""
    rounds: list[list[float]] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    @property
    def first(self) -> list[float]:
        """Seconds of the first round of each repeat."""
        return [seconds[0] for seconds in self.rounds]

    @property
    def later(self) -> list[float]:
        """Median seconds of the later rounds of each repeat; of the only one where there are none."""
        return [float(np.median(seconds[1:] or seconds)) for seconds in self.rounds]


def contestants(settings: Settings | None = None) -> list[Contestant]:
    """Return everyone whom the modules in `peers/` name, raw loops first; for a quick run, those that start quickly."""
    names = sorted(module.name for module in pkgutil.iter_modules(peers.__path__) if module.name[0] != "_")
    found = [importlib.import_module(f"simulations.bench.peers.{name}").CONTESTANTS for name in names]
    everyone = [contestant for several in found for contestant in several]
    if settings is not None and settings.quick:
        everyone = [contestant for contestant in everyone if contestant.quick]
    if settings is not None and settings.only:
        # The raw loops stay: weights are compared with the first of them, and ratios are to the second.
        wanted = ("raw loop", *settings.only)
        everyone = [contestant for contestant in everyone if any(word in contestant.name for word in wanted)]
    return sorted(everyone, key=lambda contestant: not contestant.peer.startswith("raw"))


def parity(weights: np.ndarray, reference: np.ndarray, initial: np.ndarray) -> float:
    """Return how far a change of weights is from the reference's, relative to it: the start itself is left out."""
    change = reference - initial
    return float(np.linalg.norm(weights - reference) / np.linalg.norm(change))


def perform(player: Contestant, job: Job) -> float:
    """Let a contestant do a job in a process of its own, and return the seconds from its start to its end.

    Raises:
        Broken: it failed.
        NotInstalled: its environment cannot be made.
    """
    job.write()
    python = str(python_of(player.environment))
    command = [python, *player.launcher, "simulations.bench.play", player.peer, str(job.folder)]
    return run(command, job.folder).seconds


@dataclass(frozen=True)
class Contest:
    """The same work for everyone.

    Args:
        overrides: the work, as a config of fedkd.
        method: its kind, which contestants must do.
        parity_rounds: rounds after which weights are compared.
        perform: lets a contestant do a job; by default in a process of its own.
    """

    overrides: Sequence[str]
    method: str = FEDAVG
    parity_rounds: int = 1
    perform: Callable[[Contestant, Job], float] = perform

    def run(self, players: Iterable[Contestant], *, rounds: int = 4, repeats: int = 3) -> list[Outcome]:
        """Compare weights, then time the rounds of those that agree, in turn; the first player is the reference.

        Without repeats the rounds of the comparison are shown, which is quick and proves only that all work.
        """
        outcomes = [Outcome(player) for player in players if self.method in player.methods]
        with tempfile.TemporaryDirectory(prefix="fedkd-bench-") as name:
            scratch = Path(name)
            length = max(rounds, self.parity_rounds)
            material = prepare(self.overrides, rounds=length + 1, folder=scratch / "material")
            rehearsed = self._compare(outcomes, material, scratch)
            if not repeats:
                for outcome, seconds in zip(outcomes, rehearsed, strict=True):
                    outcome.rounds = [] if outcome.failure else [seconds]
            for repeat in range(repeats):
                for place, outcome in enumerate(outcomes):
                    if not outcome.failure:
                        length = 2 if outcome.contestant.slow else rounds
                        job = Job(
                            material,
                            length,
                            outcome.contestant.options,
                            scratch / f"{repeat}-{place}",
                            timed=True,
                        )
                        self._time(outcome, job)
        return outcomes

    def _compare(self, outcomes: list[Outcome], material: Material, scratch: Path) -> list[list[float]]:
        rehearsed: list[list[float]] = [[] for _ in outcomes]
        reference: np.ndarray | None = None
        for place, outcome in enumerate(outcomes):
            job = Job(material, self.parity_rounds, outcome.contestant.options, scratch / f"parity-{place}")
            try:
                self.perform(outcome.contestant, job)
                weights = np.load(job.folder / "weights.npy")
            except (Broken, NotInstalled, OSError) as error:
                outcome.failure = f"did not run: {error}"
            else:
                reference = weights if reference is None else reference
                rehearsed[place] = _seconds(job)
                outcome.difference = parity(weights, reference, material.initial.numpy())
                if not outcome.difference <= outcome.contestant.tolerance:
                    outcome.failure = (
                        f"other weights: {outcome.difference:.1e} from {outcomes[0].contestant.name}"
                    )
            verdict = outcome.failure or f"same weights to {outcome.difference:.1e}"
            print(f"  {outcome.contestant.name}: {verdict}", flush=True)
        return rehearsed

    def _time(self, outcome: Outcome, job: Job) -> None:
        """Time one repeat; one that breaks off, as a process may on a busy machine, is made once more."""
        name = outcome.contestant.name
        for attempt in (job, replace(job, folder=job.folder / "again")):
            try:
                whole = self.perform(outcome.contestant, attempt)
            except Broken as error:
                outcome.failure = f"did not run again: {error}"
                print(f"  {name}: {outcome.failure}", flush=True)
            else:
                outcome.failure = ""
                outcome.whole.append(whole)
                outcome.rounds.append(_seconds(attempt))
                shown = ", ".join(f"{value:.3f}" for value in outcome.rounds[-1])
                print(f"  {name}: rounds of {shown} s", flush=True)
                return


def _seconds(job: Job) -> list[float]:
    seconds: list[float] = json.loads((job.folder / "seconds.json").read_text(encoding="utf-8"))
    return seconds
