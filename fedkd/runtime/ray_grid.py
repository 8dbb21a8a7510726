"""The Ray grid: cohorts of clients over actors, on one machine or a cluster.

What several clients are sent lies once in the object store and is decoded once for each cohort; replies come back as few
large arrays that nobody copies; what clients keep stays in the object store until it is asked for.
"""

import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ray
import ray.exceptions
from flwr.app import RecordDict
from flwr.clientapp import ClientApp

from fedkd.foundation.errors import RuntimeUnavailable
from fedkd.runtime.calls import Kept
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.grid import NO_ANSWER, Done, Job, LocalGrid, failed
from fedkd.runtime.ray_parcels import Contents, Handed, Parcel, addressed, opened, parcels_of, works_of
from fedkd.runtime.ray_states import Packs, contents_of
from fedkd.runtime.ray_workers import (
    Task,
    Worker,
    actor,
    kind_of,
    make_room,
    new_actor,
    places,
    release,
    start_ray,
)
from fedkd.runtime.values import Value

__all__ = ["RayGrid", "Worker"]

ATTEMPTS = 3
"""How many workers a cohort, and then each of its clients alone, may take down before it is given up."""

START_SECONDS = 60.0
"""How long workers may take to start before the clients' time runs all the same."""


class RayGrid(LocalGrid):
    """Spreads cohorts of clients over Ray actors.

    Args:
        app: the client app.
        num_clients: how many partitions there are.
        run_config: what Flower's context holds as `run_config`.
        num_actors: worker processes; none takes one per CPU of the cluster (per share of a GPU, with `num_gpus`).
        num_gpus: share of a GPU for each actor; 0 trains on CPUs.
        address: address of a running Ray cluster; none starts one on this machine, or joins one that this process has.
        log: told what goes wrong and is mended.
    """

    def __init__(
        self,
        app: ClientApp,
        num_clients: int,
        run_config: Mapping[str, Value],
        *,
        num_actors: int | None = None,
        num_gpus: float = 0.0,
        address: str | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(app, num_clients, run_config)
        self._log = log
        if not ray.is_initialized():
            start_ray(address)
        # On one machine the user chooses how many actors share its cores; a cluster places one on each CPU.
        self._kind = kind_of(0 if address is None or num_gpus else 1, num_gpus)
        self._on_cluster = address is not None
        self._actors: list[Any] = []
        self._running: dict[Any, Handed] = {}
        self._starting: dict[Any, int] = {}
        self._free: deque[int] = deque()
        self._packs = Packs()
        make_room(self._kind)
        try:
            self._actors = [actor(self._kind) for _ in range(num_actors or places(num_gpus))]
            # While the actors' processes start, this one makes what it lends them.
            lent = app.lend(self.run_config) if isinstance(app, CohortApp) else None
            self._task = ray.put(Task(app, num_clients, self.run_config, lent))
            for place in range(len(self._actors)):
                self._await(place)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the actors, idle, to the next grid of this process; Ray and its actors end with the process."""
        busy = {handed.place for handed in self._running.values()}
        if self._on_cluster:  # one that has not started yet may wait for room that there will never be
            busy |= {*self._starting.values()}
        for place, one in enumerate(self._actors):
            if place in busy:
                ray.kill(one)
            else:
                release(self._kind, one)
        self._actors = []

    def worker_ids(self) -> list[int]:
        """Return the process id of each worker."""
        return ray.get([one.process_id.remote() for one in self._actors])

    def load_states(self, states: Iterable[tuple[int, RecordDict]]) -> None:
        """Take up what clients kept; it goes into the object store, some clients at a time."""
        self._packs = Packs()
        self._states = self._packs.store(states)
        self._changed.clear()

    def carry_out(self, cohorts: list[list[Job]], timeout: float | None) -> Iterator[Done]:
        """Hand parcels to whichever worker is free, and yield results in the order of the cohorts.

        A parcel that gives no answer in half of the time that was left when it was handed out is taken apart, down to single clients,
        so that one that hangs is known by name. When time is up, what is not answered has failed, and its workers are replaced.
        """
        self._abandon()
        if timeout is not None and len(self._starting) == len(self._actors):
            self._await_all()
        works = works_of(self.app, self.run_config, cohorts)
        waiting = deque(parcels_of(cohorts, works, len(self._actors), limited=timeout is not None))
        contents = Contents(job.message.content for cohort in cohorts for job in cohort)
        deaths: Counter[int] = Counter()
        finished: dict[int, Done] = {}
        following = 0
        until = math.inf if timeout is None else time.monotonic() + timeout
        while waiting or self._running:
            self._hand_out(waiting, contents, until)
            due = min([until, *(handed.due for handed in self._running.values())])
            if ready := self._wait(max(0.0, due - time.monotonic())):
                if ready in self._starting:
                    self._started(ready)
                else:
                    handed = self._running.pop(ready)
                    self._free.append(handed.place)
                    finished |= self._results(ready, handed, waiting, deaths)
            elif due < until:
                self._take_apart(waiting)
                until += self._await_all()
            else:
                finished |= self._give_up(waiting, f"{timeout:g} s")
            # Before anybody looks at these results, which takes time: no worker is to wait for that.
            self._hand_out(waiting, contents, until)
            while following in finished:
                yield finished.pop(following)
                following += 1
        self._states |= self._packs.tidy(self._states)

    def _contents(self, kept: Sequence[Kept]) -> list[RecordDict]:
        return contents_of(kept)

    def _keep(self, done: Done) -> None:
        before = self._states.get(done.client)
        super()._keep(done)
        after = self._states.get(done.client)
        if after is not before:
            self._packs.forget(before)
            self._packs.count(after)

    def _hand_out(self, waiting: deque[Parcel], contents: Contents, until: float) -> None:
        """Send parcels to all workers that are free."""
        while waiting and self._free:
            self._send(self._free.popleft(), waiting.popleft(), contents, until)

    def _send(self, place: int, parcel: Parcel, contents: Contents, until: float) -> None:
        slips, packs = addressed(parcel, contents)
        work = self._actors[place].work.options(num_returns=2)
        task, states = work.remote([self._task], slips, *packs)
        self._running[task] = Handed(place, parcel, states, parcel.due(time.monotonic(), until))

    def _results(
        self, task: Any, handed: Handed, waiting: deque[Parcel], deaths: Counter[int]
    ) -> dict[int, Done]:
        """Return the results of a parcel; without any, send it again, and at last its clients one by one."""
        place, parcel = handed.place, handed.parcel
        jobs = parcel.jobs
        first, job = jobs[0]
        try:
            answers, replies, state_bytes = ray.get(task)
            rows = sum(1 for _, _, row in answers if row is not None and row >= 0)
            kept = None
            if rows:
                # On a cluster the pack lies where it was made; a copy here outlives that node.
                reference = ray.put(ray.get(handed.states)) if self._on_cluster else handed.states
                kept = self._packs.add(reference, state_bytes, rows)
            return opened(jobs, answers, replies, kept)
        except ray.exceptions.RayTaskError as error:  # something that a client returned cannot be sent
            if len(jobs) == 1:
                return {first: failed(job, f"returned what cannot be sent: {error.cause or error}")}
            waiting.extendleft(reversed(parcel.one_by_one()))
        except ray.exceptions.RayError as error:
            self._log(
                f"worker {place} died ({type(error).__name__}) and was replaced, with {parcel.named()} in its hands"
            )
            self._replace(place)
            if len(jobs) == 1:
                deaths[first] += 1
                if deaths[first] == ATTEMPTS:
                    return {first: failed(job, f"its worker died {ATTEMPTS} times")}
                waiting.appendleft(parcel)
            elif parcel.attempt < ATTEMPTS - 1:
                # Cohorts are what results depend on: they are tried again as they are, if need be each alone.
                waiting.extendleft(
                    Parcel((cohort,), parcel.attempt + 1) for cohort in reversed(parcel.cohorts)
                )
            else:
                waiting.extendleft(reversed(parcel.one_by_one()))
        return {}

    def _take_apart(self, waiting: deque[Parcel]) -> None:
        """Put what takes long behind all that waits, in smaller parcels: a client that hangs will keep its worker to the end."""
        now = time.monotonic()
        for task, one in list(self._running.items()):
            if one.due <= now:
                self._log(f"{one.parcel.named()} gave no answer in half of the time left and are taken apart")
                del self._running[task]
                self._replace(one.place)
                waiting.extend(one.parcel.taken_apart())

    def _give_up(self, waiting: deque[Parcel], time_given: str) -> dict[int, Done]:
        reason = f"no answer within {time_given}"
        unheard = f"was still waiting for a worker when the {time_given} were up"
        lost = [(job, reason) for handed in self._running.values() for job in handed.parcel.jobs]
        lost += [(job, unheard) for parcel in waiting for job in parcel.jobs]
        for one in self._running.values():
            self._log(
                f"worker {one.place} gave {reason} and was replaced, with {one.parcel.named()} in its hands"
            )
        self._abandon()
        waiting.clear()
        return {position: failed(job, why, NO_ANSWER) for (position, job), why in lost}

    def _abandon(self) -> None:
        """Replace the workers that are still at something nobody waits for any more."""
        for handed in self._running.values():
            self._replace(handed.place)
        self._running.clear()

    def _replace(self, place: int) -> None:
        """End a worker and start another in its place, which is free once it has answered."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actors[place])
        self._actors[place] = new_actor(self._kind)
        self._await(place)

    def _await(self, place: int) -> None:
        if place in self._free:
            self._free.remove(place)
        self._starting[self._actors[place].ready.remote([self._task])] = place

    def _await_all(self) -> float:
        """Wait until all workers have started, and return the seconds that it took: the clients' time does not run meanwhile."""
        begun = time.monotonic()
        if self._starting:
            ray.wait(list(self._starting), num_returns=len(self._starting), timeout=START_SECONDS)
        return time.monotonic() - begun

    def _started(self, answer: Any) -> None:
        """Take up a worker that has answered its first call.

        Raises:
            RuntimeUnavailable: it cannot take up the client app, as no other would.
        """
        place = self._starting.pop(answer)
        try:
            ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            reason = " ".join(str(error.cause or error).split())[:300]
            raise RuntimeUnavailable(f"Ray's workers cannot take up the client app: {reason}") from error
        except ray.exceptions.RayError as error:
            self._log(f"worker {place} died while it started ({type(error).__name__}) and was replaced")
            self._replace(place)
        else:
            self._free.append(place)

    def _wait(self, seconds: float) -> Any:
        """Return the next call that a worker has answered, or none when time is up.

        Raises:
            RuntimeUnavailable: no worker is at work, and none of those that are to start does.
        """
        limit = seconds if self._running else min(seconds, START_SECONDS)
        ready, _ = ray.wait(
            [*self._running, *self._starting], num_returns=1, timeout=None if limit == math.inf else limit
        )
        if not ready and limit < seconds:
            raise RuntimeUnavailable(
                f"no worker of Ray has started within {START_SECONDS:g} s; what is left of the cluster has no room for one"
            )
        return ready[0] if ready else None
