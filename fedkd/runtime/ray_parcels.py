"""Parcels: the cohorts that a worker of the Ray grid gets at once, and how they are addressed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from flwr.app import Error, RecordDict

from fedkd.runtime.calls import NOTHING, Answer, Kept
from fedkd.runtime.grid import Done, Job
from fedkd.runtime.packing import Packed, pack, unpack
from fedkd.runtime.ray_states import Pack, There


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


def parcels_of(cohorts: Sequence[Sequence[Job]], workers: int | None) -> Iterator[Parcel]:
    """Yield parcels of whole cohorts, of ever fewer jobs, so that workers come to an end together.

    Each parcel has half of a worker's share of the jobs that are left, if its cohorts can be cut so.

    Source: Polychronopoulos & Kuck, "Guided Self-Scheduling" (1987), with half of their sizes.

    Args:
        cohorts: in the order in which their answers count, those with most work first.
        workers: how many there are; none makes a parcel of each cohort.
    """
    position, left = 0, sum(map(len, cohorts))
    parcel, size, wanted = list[tuple[tuple[int, Job], ...]](), 0, 0
    for cohort in cohorts:
        if not parcel:
            wanted = 1 if workers is None else -(-left // (2 * workers))
        parcel.append(tuple(enumerate(cohort, start=position)))
        position, size, left = position + len(cohort), size + len(cohort), left - len(cohort)
        if size >= wanted:
            yield Parcel(tuple(parcel))
            parcel, size = [], 0
    if parcel:
        yield Parcel(tuple(parcel))


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
