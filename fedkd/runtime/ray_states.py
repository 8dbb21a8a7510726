"""What clients keep between rounds, in packs in Ray's object store, which moves to the disk what memory has no room for.

A pack holds what the clients of a parcel kept. When later rounds have replaced much of it, what is left moves to a new one:
all packs together are at most `SLACK` times as large as what is kept.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import ray
from flwr.app import ArrayRecord, RecordDict

from fedkd.knowledge.arrays import numbers_of, record_of
from fedkd.runtime.calls import Kept
from fedkd.runtime.packing import Packed, pack, unpack

T = TypeVar("T")

SLACK = 1.2
_AT_ONCE = 256


@dataclass(eq=False)
class Pack:
    """A pack in the object store.

    Args:
        reference: to a `Packed`.
        num_bytes: size of its arrays.
        rows: how many clients' states it was made of.
    """

    reference: Any
    num_bytes: int
    rows: int
    alive: set[int] = field(default_factory=set)

    @property
    def wasted(self) -> float:
        """Bytes of states that are out of date."""
        return self.num_bytes * (1 - len(self.alive) / self.rows)

    def fetch(self) -> Packed:
        """Return the pack; its arrays lie in the object store."""
        return cast("Packed", ray.get(self.reference))


@dataclass(frozen=True, eq=False)
class There:
    """What a client keeps: a row of a pack."""

    pack: Pack
    row: int

    def content(self) -> RecordDict:
        """Fetch it."""
        [records] = unpack(self.pack.fetch(), [self.row])
        return records


def contents_of(kept: Sequence[Kept]) -> list[RecordDict]:
    """Return what is kept, in order; each pack is fetched once."""
    packs = list(dict.fromkeys(one.pack for one in kept if isinstance(one, There)))
    fetched = dict(zip(packs, ray.get([pack.reference for pack in packs]), strict=True))
    return [
        unpack(fetched[one.pack], [one.row])[0] if isinstance(one, There) else one.content() for one in kept
    ]


class Packs:
    """All packs of a grid; knows which rows count."""

    def __init__(self) -> None:
        self._packs: set[Pack] = set()

    def add(self, reference: Any, num_bytes: int, rows: int) -> Pack:
        """Take up a pack that a worker made."""
        made = Pack(reference, num_bytes, rows)
        self._packs.add(made)
        return made

    def count(self, kept: Kept | None) -> None:
        """Note that this is what a client keeps from now on."""
        if isinstance(kept, There):
            kept.pack.alive.add(kept.row)

    def forget(self, kept: Kept | None) -> None:
        """Note that this is no longer what a client keeps; a pack that nobody needs is dropped."""
        if isinstance(kept, There):
            kept.pack.alive.discard(kept.row)
            if not kept.pack.alive:
                self._packs.discard(kept.pack)

    def tidy(self, states: Mapping[int, Kept]) -> dict[int, Kept]:
        """Move what is kept, so that no more than `SLACK` times of it is stored, and return where it lies now."""
        self._packs = {pack for pack in self._packs if pack.alive}
        total = sum(pack.num_bytes for pack in self._packs)
        waste = sum(pack.wasted for pack in self._packs)
        if total <= SLACK * (total - waste):
            return {}
        worst = sorted(self._packs, key=lambda pack: -pack.wasted)
        leaving: set[Pack] = set()
        while waste > (SLACK - 1) / 2 * (total - waste) and len(leaving) < len(worst):
            leaving.add(worst[len(leaving)])
            waste -= worst[len(leaving) - 1].wasted
        moving = [
            (client, kept)
            for client, kept in states.items()
            if isinstance(kept, There) and kept.pack in leaving
        ]
        moved: dict[int, Kept] = {}
        for some in _batches(moving):
            moved |= self._put([client for client, _ in some], contents_of([kept for _, kept in some]))
        for _, kept in moving:
            self.forget(kept)
        return moved

    def store(self, states: Iterable[tuple[int, RecordDict]]) -> dict[int, Kept]:
        """Put what clients keep into packs, as it comes, and return where it lies."""
        stored: dict[int, Kept] = {}
        for some in _batches(states):
            stored |= self._put([client for client, _ in some], [_local(state) for _, state in some])
        return stored

    def _put(self, clients: Sequence[int], contents: Sequence[RecordDict]) -> dict[int, Kept]:
        packed = pack(contents)
        target = self.add(ray.put(packed), packed.num_bytes, len(packed))
        target.alive.update(range(len(packed)))
        return {client: There(target, row) for row, client in enumerate(clients)}


def _batches(entries: Iterable[T]) -> Iterator[list[T]]:
    """Yield the entries, at most `_AT_ONCE` at a time."""
    rest = iter(entries)
    while some := list(itertools.islice(rest, _AT_ONCE)):
        yield some


def _local(state: RecordDict) -> RecordDict:
    """Return a state whose arrays are numbers, as packs hold them, where they were read as bytes."""
    return RecordDict(
        {
            name: record_of({key: numbers_of(array) for key, array in record.items()})
            if isinstance(record, ArrayRecord)
            else record
            for name, record in state.items()
        }
    )
