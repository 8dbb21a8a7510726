"""The worker processes of the Ray grid, and what travels to them and back.

Workers hold nothing that matters: what clients keep is sent along with each parcel and comes back with it. So a worker that
dies is replaced and what it had in its hands is done again, with the same result.
"""

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions
import torch
from flwr.app import Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedkd.foundation.allocation import keep_freed_memory
from fedkd.foundation.errors import RuntimeUnavailable
from fedkd.runtime.calls import NOTHING, Call, Here, perform
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.flower_internals import identify, number
from fedkd.runtime.packing import Packed, pack, unpack
from fedkd.runtime.ray_parcels import Returned, Slip
from fedkd.runtime.values import Value

Kind = tuple[str, int, float]
"""What makes actors alike: the Ray job that they belong to, and their share of CPUs and GPUs."""

_IDLE: dict[Kind, list[Any]] = {}
"""Actors that no grid of this process is using."""


@dataclass(frozen=True)
class Task:
    """What every parcel of a grid has in common.

    Args:
        app: the client app.
        num_clients: how many partitions there are.
        run_config: what Flower's context holds as `run_config`.
        lent: what the app lends to every process.
    """

    app: ClientApp
    num_clients: int
    run_config: dict[str, Value]
    lent: object


class Worker:
    """Runs the client app in a process of its own; made a Ray actor by the grid."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        identify()
        self._reference: Any = None
        self._task: Task | None = None

    def process_id(self) -> int:
        """Return the id of the worker's process."""
        return os.getpid()

    def prepare(self, reference: Sequence[Any]) -> Task:
        """Import everything that the app needs, and take up what the driver lends; both once for each grid.

        Args:
            reference: to the `Task`, in a sequence so that Ray leaves it to us to fetch it.
        """
        if self._task is None or reference[0] != self._reference:
            task: Task = ray.get(reference[0])
            if isinstance(task.app, CohortApp) and task.lent is not None:
                task.app.borrow(task.run_config, task.lent)
            self._task, self._reference = task, reference[0]
            gc.collect()
            gc.freeze()  # the collector need not look at modules and data again and again
        return self._task

    def ready(self, reference: Sequence[Any]) -> None:
        """Return when everything has been prepared."""
        self.prepare(reference)

    def work(
        self, reference: Sequence[Any], cohorts: Sequence[Sequence[Slip]], *packs: Packed
    ) -> tuple[tuple[list[Returned], Packed, int], Packed]:
        """Do the jobs of a parcel, cohort by cohort.

        Returns:
            An answer for each job, the packed replies, and the size of the packed states; and the packed states.
        """
        task = self.prepare(reference)
        contents = _Shelf(packs)
        replies: list[RecordDict] = []
        states: list[RecordDict] = []
        answers: list[Returned] = []
        for cohort in cohorts:
            calls = [_call(slip, contents) for slip in cohort]
            done = perform(task.app, calls, task.num_clients, task.run_config)
            for call, answer in zip(calls, done, strict=True):
                state = None
                if answer.state is call.state:
                    state = -1
                elif answer.state is not None:
                    state = len(states)
                    states.append(answer.state.content())
                if isinstance(answer.said, Error):
                    answers.append((answer.said.code, answer.said.reason or "", state))
                else:
                    answers.append((0, len(replies), state))
                    replies.append(answer.said)
        kept = pack(states)
        return (answers, pack(replies), kept.num_bytes), kept


class _Shelf:
    """Unpacks each content once, so that clients who were sent the same share one object."""

    def __init__(self, packs: Sequence[Packed]) -> None:
        self._packs = packs
        self._unpacked: dict[tuple[int, int], RecordDict] = {}

    def take(self, place: tuple[int, int]) -> RecordDict:
        if place not in self._unpacked:
            which, row = place
            [self._unpacked[place]] = unpack(self._packs[which], [row])
        return self._unpacked[place]


def _call(slip: Slip, contents: _Shelf) -> Call:
    content = contents.take(slip.content)

    def message() -> Message:
        made = Message(
            content,
            dst_node_id=slip.node,
            message_type=slip.kind,
            group_id=slip.group,
            ttl=slip.ttl,
        )
        number(made, slip.name)
        return made

    state = NOTHING if slip.state is None else Here(contents.take(slip.state))
    return Call(slip.client, slip.kind, content, state, message)


def kind_of(cpus: int, num_gpus: float) -> Kind:
    """Return what makes actors with these shares alike."""
    return ray.get_runtime_context().get_job_id(), cpus, num_gpus


def actor(kind: Kind) -> Any:
    """Return an idle actor of an earlier grid, which has imported everything already, or a new one."""
    idle = _IDLE.get(kind)
    return idle.pop() if idle else new_actor(kind)


def new_actor(kind: Kind) -> Any:
    """Return a new actor."""
    _, cpus, num_gpus = kind
    return ray.remote(Worker).options(num_cpus=cpus, num_gpus=num_gpus).remote()


def release(kind: Kind, idle: Any) -> None:
    """Leave an idle actor to the next grid of this process; Ray and its actors end with the process."""
    _IDLE.setdefault(kind, []).append(idle)


def make_room(kind: Kind) -> None:
    """End idle actors of every other kind: what they hold of a GPU or a cluster is wanted now."""
    for other in [other for other in _IDLE if other != kind]:
        for idle in _IDLE.pop(other):
            with contextlib.suppress(ray.exceptions.RayError, ValueError):
                ray.kill(idle)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let the processes that are started meanwhile, and theirs, compute with one thread.

    A `runtime_env` would do it too, but then none of the workers that Ray starts ahead fits, and each actor waits for another one.
    """
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def start_ray(address: str | None) -> None:
    """Start Ray on this machine, or join the cluster at an address.

    Raises:
        RuntimeUnavailable: it cannot be started or reached.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        if address is None:
            with one_thread_each():
                # `local`, or Ray would join whatever cluster was last started on this machine.
                ray.init(
                    address="local", include_dashboard=False, configure_logging=False, log_to_driver=False
                )
        else:
            environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
            ray.init(address=address, configure_logging=False, log_to_driver=False, runtime_env=environment)
    except Exception as error:
        where = "on this machine" if address is None else f"at runtime.address={address}"
        raise RuntimeUnavailable(
            f"Ray could not be started or reached {where}: {' '.join(str(error).split())[:300]}"
        ) from error


def places(num_gpus: float) -> int:
    """Return how many actors the cluster has room for: one for each CPU, or for each share of a GPU.

    Raises:
        RuntimeUnavailable: not even for one.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if num_gpus:
        room = int(resources.get("GPU", 0) / num_gpus)
        if not room:
            raise RuntimeUnavailable(
                f"runtime.num_gpus={num_gpus}: this cluster has {resources.get('GPU', 0):.0f} GPUs; take 0"
            )
        return room
    return max(1, int(resources.get("CPU", 1)))
