"""The Ray grid: cohorts of clients over actors, on one machine or a cluster.

Actors hold nothing that matters: what clients keep is sent along with each job and comes back with it. So a worker that
dies is replaced and its clients are run again, one by one, with the same result.
"""

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray
import ray.exceptions
import torch
from flwr.clientapp import ClientApp

from fedkd.foundation.errors import RuntimeUnavailable
from fedkd.runtime.flower_internals import identify
from fedkd.runtime.grid import NO_ANSWER, Done, Job, LocalGrid, Value, failed, perform

Cohort = list[tuple[int, Job]]
"""Jobs that a worker gets at once, each with its position among the jobs of the round."""

Kind = tuple[str, int, float]
"""What makes actors alike: the Ray job that they belong to, and their share of CPUs and GPUs."""

_IDLE: dict[Kind, list[Any]] = {}
"""Actors that no grid of this process is using."""

ATTEMPTS = 3
"""How many workers a single client may take down before it is given up."""

START_SECONDS = 60.0
"""How long workers may take to start before the clients' time runs all the same."""


class Worker:
    """Runs the client app in a process of its own; made a Ray actor by the grid."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        identify()

    def process_id(self) -> int:
        """Return the id of the worker's process."""
        return os.getpid()

    def prepare(self, app: ClientApp) -> None:
        """Do nothing; by then everything that the app needs has been imported."""

    def work(
        self, app: ClientApp, num_clients: int, run_config: Mapping[str, Value], jobs: list[Job]
    ) -> list[Done]:
        """Do the jobs of a cohort, one after the other."""
        return [perform(app, job, num_clients, run_config) for job in jobs]


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
        super().__init__(num_clients, run_config)
        self._log = log
        if not ray.is_initialized():
            _start_ray(address)
        # On one machine the user chooses how many actors share its cores; a cluster places one on each CPU.
        self._cpus = 0 if address is None or num_gpus else 1
        self._app = ray.put(app)
        self._num_gpus = num_gpus
        self._actors: list[Any] = []
        self._running: dict[Any, tuple[int, Cohort]] = {}
        _make_room(self._kind())
        try:
            self._actors = [self._actor() for _ in range(num_actors or _places(num_gpus))]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the actors, idle, to the next grid of this process; Ray and its actors end with the process."""
        busy = {place for place, _ in self._running.values()}
        for place, actor in enumerate(self._actors):
            if place in busy:
                ray.kill(actor)
            else:
                _IDLE.setdefault(self._kind(), []).append(actor)
        self._actors = []

    def worker_ids(self) -> list[int]:
        """Return the process id of each worker."""
        return ray.get([actor.process_id.remote() for actor in self._actors])

    def carry_out(self, jobs: list[Job], timeout: float | None) -> Iterator[Done]:
        """Hand cohorts to whichever actor is free, and yield results in the order of the jobs.

        When time is up, what is not answered has failed, and workers that are still at work are replaced.
        """
        numbered = list(enumerate(jobs))
        size = max(1, -(-len(jobs) // (4 * len(self._actors))))
        waiting = deque(numbered[start : start + size] for start in range(0, len(jobs), size))
        self._abandon()
        if timeout is not None:
            # The time is the clients' own: it does not run while workers start.
            ready = [actor.prepare.remote(self._app) for actor in self._actors]
            ray.wait(ready, num_returns=len(ready), timeout=START_SECONDS)
        running = self._running
        free = deque(range(len(self._actors)))
        deaths: Counter[int] = Counter()
        finished: dict[int, Done] = {}
        following = 0
        deadline = None if timeout is None else time.monotonic() + timeout
        while waiting or running:
            while waiting and free:
                place, cohort = free.popleft(), waiting.popleft()
                running[self._work(place, [job for _, job in cohort])] = (place, cohort)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(running), num_returns=1, timeout=left)
            if ready:
                place, cohort = running.pop(ready[0])
                free.append(place)
                finished |= self._results(ready[0], place, cohort, waiting, deaths)
            else:
                finished |= self._give_up(waiting, f"no answer within {timeout:g} s")
            while following in finished:
                yield finished.pop(following)
                following += 1

    def _work(self, place: int, jobs: list[Job]) -> Any:
        return self._actors[place].work.remote(self._app, self.num_clients, self.run_config, jobs)

    def _results(
        self, task: Any, place: int, cohort: Cohort, waiting: deque[Cohort], deaths: Counter[int]
    ) -> dict[int, Done]:
        """Return the results of a cohort; without any, run its clients again one by one, or give up a single one."""
        first, job = cohort[0]
        try:
            results = ray.get(task)
        except ray.exceptions.RayTaskError as error:  # something that a client returned cannot be sent
            if len(cohort) == 1:
                return {first: failed(job, f"returned what cannot be sent: {error.cause or error}")}
        except ray.exceptions.RayError as error:
            deaths[first] += 1
            named = (
                f"client {job.client}"
                if len(cohort) == 1
                else f"clients {job.client} to {cohort[-1][1].client}"
            )
            self._log(
                f"worker {place} died ({type(error).__name__}) and was replaced, with {named} in its hands"
            )
            self._replace(place)
            if len(cohort) == 1 and deaths[first] == ATTEMPTS:
                return {first: failed(job, f"its worker died {ATTEMPTS} times")}
        else:
            return {position: done for (position, _), done in zip(cohort, results, strict=True)}
        waiting.extendleft([numbered] for numbered in reversed(cohort))
        return {}

    def _give_up(self, waiting: deque[Cohort], reason: str) -> dict[int, Done]:
        cohorts = [*(cohort for _, cohort in self._running.values()), *waiting]
        for place, _ in self._running.values():
            self._log(f"worker {place} gave {reason} and was replaced")
        self._abandon()
        waiting.clear()
        return {position: failed(job, reason, NO_ANSWER) for cohort in cohorts for position, job in cohort}

    def _abandon(self) -> None:
        """Replace the workers that are still at something nobody waits for any more."""
        for place, _ in self._running.values():
            self._replace(place)
        self._running.clear()

    def _replace(self, place: int) -> None:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actors[place])
        self._actors[place] = self._new_actor()

    def _actor(self) -> Any:
        """Return an idle actor of an earlier grid, which has imported everything already, or a new one."""
        idle = _IDLE.get(self._kind())
        return idle.pop() if idle else self._new_actor()

    def _kind(self) -> Kind:
        return ray.get_runtime_context().get_job_id(), self._cpus, self._num_gpus

    def _new_actor(self) -> Any:
        return ray.remote(Worker).options(num_cpus=self._cpus, num_gpus=self._num_gpus).remote()


def _make_room(kind: Kind) -> None:
    """End idle actors of every other kind: what they hold of a GPU or a cluster is wanted now."""
    for other in [other for other in _IDLE if other != kind]:
        for actor in _IDLE.pop(other):
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(actor)


def _start_ray(address: str | None) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
    try:
        if address is None:
            # `local`, or Ray would join whatever cluster was last started on this machine.
            ray.init(
                address="local",
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
                runtime_env=environment,
            )
        else:
            ray.init(address=address, configure_logging=False, log_to_driver=False, runtime_env=environment)
    except Exception as error:
        where = "on this machine" if address is None else f"at runtime.address={address}"
        raise RuntimeUnavailable(
            f"Ray could not be started or reached {where}: {' '.join(str(error).split())[:300]}"
        ) from error


def _places(num_gpus: float) -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if num_gpus:
        places = int(resources.get("GPU", 0) / num_gpus)
        if not places:
            raise RuntimeUnavailable(
                f"runtime.num_gpus={num_gpus}: this cluster has {resources.get('GPU', 0):.0f} GPUs; take 0"
            )
        return places
    return max(1, int(resources.get("CPU", 1)))
