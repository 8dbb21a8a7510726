"""Parcels: the cohorts that a worker of the Ray grid gets at once, and how they are addressed."""

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import Error, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.calls import NOTHING, Answer, Kept
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.grid import Done, Job
from fedkd.runtime.packing import Packed, pack, unpack
from fedkd.runtime.ray_states import Pack, There
from fedkd.runtime.values import Value

LOST = 8
"""Where time is limited, a parcel is closed with this part of a worker's share of the round: as much is lost when it is taken apart."""


@dataclass(frozen=True, eq=False)
class Parcel:
    """What a worker gets at once: cohorts, each job with its position in the round, and how often it was tried before."""

    cohorts: tuple[tuple[tuple[int, Job], ...], ...]
    attempt: int = 1

    @property
    def jobs(self) -> list[tuple[int, Job]]:
        """All jobs with their positions."""
        return [numbered for cohort in self.cohorts for numbered in cohort]

    def named(self) -> str:
        """Return the clients, for people."""
        clients = sorted(job.client for _, job in self.jobs)
        if len(clients) == 1:
            return f"client {clients[0]}"
        return f"{len(clients)} clients from {clients[0]} to {clients[-1]}"

    def one_by_one(self) -> "list[Parcel]":
        """Return a parcel for each client."""
        return [Parcel(((numbered,),)) for numbered in self.jobs]

    def due(self, now: float, until: float) -> float:
        """Return when it is taken apart if it is handed out now and time is up at `until`: after half of that; never for one client."""
        return (now + until) / 2 if len(self.jobs) > 1 else math.inf

    def taken_apart(self) -> "list[Parcel]":
        """Return a parcel for each cohort, or for each client of the only one."""
        if len(self.cohorts) == 1:
            return self.one_by_one()
        return [Parcel((cohort,), self.attempt) for cohort in self.cohorts]


@dataclass(frozen=True, eq=False)
class Handed:
    """A parcel in the hands of a worker.

    Args:
        place: the worker.
        parcel: what it got.
        states: a reference to what clients will keep.
        due: when it is taken apart if there is no answer, in seconds of `time.monotonic`; infinite for never.
    """

    place: int
    parcel: Parcel
    states: Any
    due: float


@dataclass(frozen=True)
class Slip:
    """One job within a parcel.

    Args:
        client, node: the number of the partition, and its node.
        name, kind, group, ttl: id, type, group and time to live of the message.
        content: pack and row of the message's records.
        state: pack and row of what the client has kept, if anything.
    """

    client: int
    node: int
    name: str
    kind: str
    group: str
    ttl: float
    content: tuple[int, int]
    state: tuple[int, int] | None


Returned = tuple[int, int | str, int | None]
"""Of one job: 0 and its row among the replies, or an error code and its reason; and its row among the states, if it keeps anything."""


class Contents:
    """What the messages of a round hold; a content that several clients are sent goes into the object store once.

    Args:
        contents: that of each message.
    """

    def __init__(self, contents: Iterable[RecordDict]) -> None:
        self._all = list(contents)  # alive while their ids are looked at
        self._times = Counter(map(id, self._all))
        self._references: dict[int, Any] = {}

    def reference(self, content: RecordDict) -> Any:
        """Return where a shared content lies; none for one that is a single client's."""
        if self._times[id(content)] < 2:
            return None
        if id(content) not in self._references:
            self._references[id(content)] = ray.put(pack([content]))
        return self._references[id(content)]


def works_of(
    app: ClientApp, run_config: Mapping[str, Value], cohorts: Sequence[Sequence[Job]]
) -> list[float]:
    """Return the work that is expected of each cohort; where the app does not say, its clients are counted."""
    if not isinstance(app, CohortApp):
        return [float(len(cohort)) for cohort in cohorts]
    works = []
    for kind, alike in itertools.groupby(cohorts, key=lambda cohort: cohort[0].message.metadata.message_type):
        several = list(alike)
        clients = [job.client for cohort in several for job in cohort]
        expected = dict(zip(clients, app.work(run_config, kind, clients), strict=True))
        works += [sum(expected[job.client] for job in cohort) for cohort in several]
    return works


def parcels_of(
    cohorts: Sequence[Sequence[Job]], works: Sequence[float], workers: int, *, limited: bool = False
) -> Iterator[Parcel]:
    """Yield parcels of whole cohorts, of ever less work, so that workers come to an end together.

    Each parcel has half of a worker's share of the work that is left. A cohort that is as much alone is handed out at once,
    the longest one first; the others go in their order, so that few answers wait for those that count before them. So a parcel
    is a cohort, or less than a worker's share.

    Source: Polychronopoulos & Kuck, "Guided Self-Scheduling" (1987), with half of their sizes; Graham, "Bounds on Multiprocessing
    Timing Anomalies" (1969), for the longest first.

    Args:
        cohorts: in the order in which their answers count.
        works: what is expected of each, at least 0.
        workers: how many there are.
        limited: whether parcels may be taken apart because time is up, and are to be small therefore.
    """
    starts = itertools.accumulate(map(len, cohorts), initial=0)
    numbered = [tuple(enumerate(cohort, start)) for cohort, start in zip(cohorts, starts, strict=False)]
    in_order = deque(range(len(cohorts)))
    longest = deque(sorted(in_order, key=lambda which: -works[which]))
    left = sum(works)
    most = left / (LOST * workers) if limited else math.inf
    taken: set[int] = set()
    while len(taken) < len(cohorts):
        wanted = min(left / (2 * workers), most)
        chosen, size = list[int](), 0.0
        while len(taken) < len(cohorts) and (not chosen or size < wanted):
            which = _first(longest, taken)
            if works[which] < wanted:
                which = _first(in_order, taken)
            taken.add(which)
            chosen.append(which)
            size += works[which]
        left -= size
        yield Parcel(tuple(numbered[which] for which in chosen))


def _first(queue: deque[int], taken: set[int]) -> int:
    while queue[0] in taken:
        queue.popleft()
    return queue[0]


def addressed(parcel: Parcel, contents: Contents) -> tuple[list[list[Slip]], list[Any]]:
    """Return the slips of a parcel and the packs that they speak of: its own first, then references to shared ones."""
    own: list[RecordDict] = []
    references: list[Any] = []
    index: dict[Any, int] = {}

    def at(reference: Any) -> int:
        if reference not in index:
            index[reference] = len(references) + 1
            references.append(reference)
        return index[reference]

    def packed_here(records: RecordDict) -> tuple[int, int]:
        own.append(records)
        return 0, len(own) - 1

    def slip(job: Job) -> Slip:
        shared = contents.reference(job.message.content)
        state = None
        if isinstance(job.state, There):
            state = (at(job.state.pack.reference), job.state.row)
        elif job.state is not NOTHING:
            state = packed_here(job.state.content())
        about = job.message.metadata
        return Slip(
            job.client,
            about.dst_node_id,
            about.message_id,
            about.message_type,
            about.group_id,
            about.ttl,
            packed_here(job.message.content) if shared is None else (at(shared), 0),
            state,
        )

    slips = [[slip(job) for _, job in cohort] for cohort in parcel.cohorts]
    own_pack: Packed = pack(own)
    return slips, [own_pack, *references]


def opened(
    jobs: Sequence[tuple[int, Job]], answers: Sequence[Returned], replies: Packed, kept: Pack | None
) -> dict[int, Done]:
    """Return what came of each job of a parcel; what clients keep stays in its pack."""
    contents = unpack(replies)
    results = {}
    for (position, job), (code, said, row) in zip(jobs, answers, strict=True):
        state: Kept | None = None
        if row is not None:
            state = There(kept, row) if kept is not None and row >= 0 else job.state
        answer = Answer(Error(code, str(said)) if code else contents[int(said)], state)
        results[position] = job.done(answer)
    return results
