"""Where the blobs of a checkpoint lie: packs of them, and the index that says which pack holds each client's state.

The index is a file to which every checkpoint adds a line about the states that changed; later lines count. Each line is
covered by a running SHA-256, so what a checkpoint needs to know of the file is a size and a hash.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fedkd.foundation.durable import append_durably, explained, truncate_durably, write_atomically
from fedkd.foundation.errors import RunFolderError

K = TypeVar("K", str, int)

_MOSTLY_DEAD = 0.25


def damaged(path: Path) -> RunFolderError:
    """Return the error about a file that is not what was written."""
    return RunFolderError(
        f"{path}: missing or damaged, so this run cannot continue; start it again in another folder"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob lies in its pack, and the SHA-256 of its bytes."""

    start: int
    size: int
    sha256: bytes


class Pack(Generic[K]):
    """A file that holds blobs one after the other.

    Args:
        name: of the file.
        size: of the file, in bytes.
        places: of those blobs that count.
    """

    def __init__(self, name: str, size: int, places: dict[K, Place]) -> None:
        self.name, self.size = name, size
        self.places: dict[K, Place] = places
        self._alive = sum(place.size for place in places.values())

    @classmethod
    def write(cls, path: Path, blobs: Mapping[K, bytes]) -> "Pack[K]":
        """Write blobs to a file; none are no file."""
        places: dict[K, Place] = {}
        start = 0
        for key, blob in blobs.items():
            places[key] = Place(start, len(blob), hashlib.sha256(blob).digest())
            start += len(blob)
        if places:
            write_atomically(path, b"".join(blobs.values()))
        return cls(path.name, start, places)

    def read(self, directory: Path, key: K) -> bytes:
        """Return a blob.

        Raises:
            RunFolderError: the file is missing or its bytes are not what was written.
        """
        path, place = directory / self.name, self.places[key]
        try:
            with path.open("rb") as pack:
                pack.seek(place.start)
                content = pack.read(place.size)
        except OSError as error:
            raise damaged(path) from error
        if hashlib.sha256(content).digest() != place.sha256:
            raise damaged(path)
        return content

    def drop(self, key: K) -> None:
        """Note that a blob no longer counts."""
        self._alive -= self.places.pop(key).size

    @property
    def mostly_dead(self) -> bool:
        """Whether little of it still counts: moving that bounds the disk at four times what is alive."""
        return self._alive < _MOSTLY_DEAD * self.size

    def encode(self) -> list[Any]:
        """Return it as JSON has it."""
        places = [[key, place.start, place.size, place.sha256.hex()] for key, place in self.places.items()]
        return [self.name, self.size, places]

    @classmethod
    def decode(cls, document: list[Any]) -> "Pack[K]":
        """Return what `encode` gave."""
        name, size, places = document
        return cls(
            name, size, {key: Place(start, length, bytes.fromhex(sha)) for key, start, length, sha in places}
        )


class Index:
    """Which pack holds the state of each client.

    Args:
        name: of its file; empty before there is any state.
    """

    def __init__(self, name: str = "") -> None:
        self.name, self.size, self.sha256 = name, 0, ""
        self.packs: dict[str, Pack[int]] = {}
        self.owners: dict[int, Pack[int]] = {}
        self._entries = 0

    @classmethod
    def read(cls, directory: Path, name: str, size: int, sha256: str) -> "Index":
        """Read the file as far as it counts.

        Raises:
            RunFolderError: the file is missing or its bytes are not what was written.
        """
        index, path = cls(name), directory / name
        if not name:
            return index
        try:
            with path.open("rb") as file:
                for line in file.read(size).splitlines(keepends=True):
                    pack = Pack[int].decode(json.loads(line))
                    index._count(line, pack)
                    index._take(pack)
        except (OSError, ValueError, TypeError) as error:
            raise damaged(path) from error
        if (index.size, index.sha256) != (size, sha256):
            raise damaged(path)
        return index

    def files(self) -> set[str]:
        """Return the names of its file and of the packs that it speaks of."""
        return {self.name, *self.packs} if self.name else set()

    def drop(self, client: int) -> None:
        """Note that what is known of a client, if anything, no longer counts."""
        pack = self.owners.pop(client, None)
        if pack is not None:
            pack.drop(client)
            if not pack.places:
                del self.packs[pack.name]

    def add(self, directory: Path, pack: Pack[int], stem: str) -> None:
        """Take up a new pack and write it down: in one more line, or in a new file once the old one is mostly out of date.

        Raises:
            RunFolderError: the file cannot be written, or has lost what counts of it.
        """
        self._take(pack)
        if self.name and len(self.owners) >= _MOSTLY_DEAD * (self._entries + len(pack.places)):
            path, line = directory / self.name, _line(pack)
            with explained(path, "append"):
                present = path.stat().st_size
            if present < self.size:
                raise damaged(path)
            truncate_durably(path, self.size)  # off with what a crash has left
            append_durably(path, line)
            self._count(line, pack)
            return
        self.name, self.size, self.sha256, self._entries = f"{stem}.index", 0, "", 0
        lines = []
        for one in self.packs.values():
            lines.append(_line(one))
            self._count(lines[-1], one)
        write_atomically(directory / self.name, b"".join(lines))

    def _take(self, pack: Pack[int]) -> None:
        for client in pack.places:
            self.drop(client)
            self.owners[client] = pack
        self.packs[pack.name] = pack

    def _count(self, line: bytes, pack: Pack[int]) -> None:
        self.size += len(line)
        self.sha256 = hashlib.sha256(self.sha256.encode() + line).hexdigest()
        self._entries += len(pack.places)


class States(Mapping[int, bytes]):
    """The states of clients, by client id in rising order; each is read when it is asked for, and not held."""

    def __init__(self, directory: Path, index: Index) -> None:
        self._directory, self._index = directory, index

    def __getitem__(self, client: int) -> bytes:
        return self._index.owners[client].read(self._directory, client)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._index.owners))

    def __len__(self) -> int:
        return len(self._index.owners)


def _line(pack: Pack[int]) -> bytes:
    return json.dumps(pack.encode()).encode() + b"\n"
