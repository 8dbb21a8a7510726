"""The Ray grid: cohorts of clients over actors, on one machine or a cluster.

Actors hold nothing that matters: what clients keep is sent along with each job and comes back with it. So a worker that
dies is replaced and its cohort is run again, with the same result.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray
import ray.exceptions
import torch
from flwr.app import Error, Message
from flwr.clientapp import ClientApp

from fedkd.foundation.errors import RuntimeUnavailable
from fedkd.runtime.flower_internals import identify
from fedkd.runtime.grid import CLIENT_RAISED, Done, Job, LocalGrid, Value, perform

Cohort = tuple[int, list[Job]]
ATTEMPTS = 3
"""How often a cohort is run before its clients are run one by one, and a single client before it is given up."""


class Worker:
    """Runs the client app in a process of its own; made a Ray actor by the grid."""

    def __init__(self, app: ClientApp, num_clients: int, run_config: Mapping[str, Value]) -> None:
        torch.set_num_threads(1)
        identify()
        self._app, self._num_clients, self._run_config = app, num_clients, run_config

    def process_id(self) -> int:
        """Return the id of the worker's process."""
        return os.getpid()

    def work(self, jobs: list[Job]) -> list[Done]:
        """Do the jobs of a cohort, one after the other."""
        return [perform(self._app, job, self._num_clients, self._run_config) for job in jobs]


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
        try:
            self._actors = [self._new_actor() for _ in range(num_actors or _places(num_gpus))]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the actors. Ray itself stays for the next grid of this process and ends with the process."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def worker_ids(self) -> list[int]:
        """Return the process id of each worker."""
        return ray.get([actor.process_id.remote() for actor in self._actors])  # type: ignore[no-any-return]

    def carry_out(self, jobs: list[Job], timeout: float | None) -> Iterator[Done]:
        """Hand cohorts to whichever actor is free, and yield results in the order of the jobs."""
        size = max(1, -(-len(jobs) // (4 * len(self._actors))))
        waiting: list[Cohort] = [(start, jobs[start : start + size]) for start in range(0, len(jobs), size)][::-1]
        tries = dict.fromkeys((start for start, _ in waiting), 0)
        running: dict[Any, tuple[int, Cohort]] = {}
        free = list(range(len(self._actors)))
        finished: dict[int, Done] = {}
        following = 0
        while waiting or running:
            while waiting and free:
                place, cohort = free.pop(0), waiting.pop()
                running[self._actors[place].work.remote(cohort[1])] = (place, cohort)
            ready, _ = ray.wait(list(running), num_returns=1, timeout=timeout)
            if not ready:
                break
            place, (start, cohort_jobs) = running.pop(ready[0])
            try:
                results = ray.get(ready[0])
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError, ray.exceptions.WorkerCrashedError) as error:
                self._replace(place, cohort_jobs, error)
                tries[start] += 1
                results = self._again(waiting, tries, start, cohort_jobs)
            free.append(place)
            finished |= {start + offset: done for offset, done in enumerate(results)}
            while following in finished:
                yield finished.pop(following)
                following += 1

    def _again(self, waiting: list[Cohort], tries: dict[int, int], start: int, jobs: list[Job]) -> list[Done]:
        """Put a cohort whose worker died back in the queue; a client that kills every worker is given up."""
        if tries[start] < ATTEMPTS:
            waiting.append((start, jobs))
            return []
        if len(jobs) > 1:
            singles = [(start + offset, [job]) for offset, job in enumerate(jobs)]
            tries.update({position: 0 for position, _ in singles})
            waiting.extend(reversed(singles))
            return []
        reason = f"its worker died {ATTEMPTS} times"
        return [Done(jobs[0].client, Message(Error(CLIENT_RAISED, reason), reply_to=jobs[0].message), jobs[0].state)]

    def _replace(self, place: int, jobs: list[Job], error: Exception) -> None:
        clients = f"{jobs[0].client}" if len(jobs) == 1 else f"{jobs[0].client}..{jobs[-1].client}"
        self._log(f"worker {place} died ({type(error).__name__}); replaced, clients {clients} are run again")
        with contextlib.suppress(Exception):
            ray.kill(self._actors[place])
        self._actors[place] = self._new_actor()

    def _new_actor(self) -> Any:
        remote = ray.remote(Worker).options(num_cpus=self._cpus, num_gpus=self._num_gpus)
        return remote.remote(self._app, self.num_clients, self.run_config)


def _start_ray(address: str | None) -> None:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
    try:
        if address is None:
            ray.init(include_dashboard=False, configure_logging=False, log_to_driver=False, runtime_env=environment)
        else:
            ray.init(address=address, configure_logging=False, log_to_driver=False, runtime_env=environment)
    except Exception as error:
        where = "on this machine" if address is None else f"at runtime.address={address}"
        raise RuntimeUnavailable(f"Ray could not be started or reached {where}: {' '.join(str(error).split())[:300]}") from error


def _places(num_gpus: float) -> int:
    resources = ray.cluster_resources()
    if num_gpus:
        places = int(resources.get("GPU", 0) / num_gpus)
        if not places:
            raise RuntimeUnavailable(f"runtime.num_gpus={num_gpus}: this cluster has {resources.get('GPU', 0):.0f} GPUs; take 0")
        return places
    return max(1, int(resources.get("CPU", 1)))
