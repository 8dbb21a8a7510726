"""Checkpoints of a run: incremental, checked, and committed by replacing one small file.

A checkpoint is a manifest that says where each blob lies: in the pack of named blobs of its round, or in the pack of
clients of whichever round changed that client last. `latest.json` names the manifest that counts; it is replaced after
everything else is on the disk, so a crash before that leaves the previous checkpoint, and junk that the next one sweeps.

>>> store = CheckpointStore(Path("checkpoints"))
>>> store.save(3, blobs={"student": b"weights"}, clients={7: b"state"}, offsets={"metrics.jsonl": 120})
>>> store.load().clients[7]
b'state'
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fedkd.foundation.durable import explained, write_atomically
from fedkd.foundation.errors import RunFolderError

K = TypeVar("K", str, int)

_LATEST = "latest.json"
_MOSTLY_DEAD = 0.25


@dataclass(frozen=True)
class Checkpoint:
    """What a run continues from.

    Args:
        round: the last round that is complete.
        blobs: the named states of the server side.
        clients: the state of every client that has one, by client id.
        offsets: the size in bytes of each append-only file at that moment.
    """

    round: int
    blobs: dict[str, bytes]
    clients: dict[int, bytes]
    offsets: dict[str, int]


@dataclass(frozen=True)
class _Place:
    """Where a blob lies: bytes `start` to `start + size` of a pack, and the SHA-256 of those bytes."""

    pack: str
    start: int
    size: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    round: int
    stem: str
    blobs: dict[str, _Place]
    clients: dict[int, _Place]
    offsets: dict[str, int]

    def encode(self) -> bytes:
        document = {
            "round": self.round,
            "stem": self.stem,
            "offsets": self.offsets,
            "blobs": {
                name: [place.pack, place.start, place.size, place.sha256]
                for name, place in self.blobs.items()
            },
            "clients": {
                str(client): [place.pack, place.start, place.size, place.sha256]
                for client, place in self.clients.items()
            },
        }
        return json.dumps(document).encode()

    @classmethod
    def decode(cls, content: bytes) -> "_Manifest":
        document = json.loads(content)
        return cls(
            round=int(document["round"]),
            stem=str(document["stem"]),
            blobs={name: _Place(*place) for name, place in document["blobs"].items()},
            clients={int(client): _Place(*place) for client, place in document["clients"].items()},
            offsets={name: int(offset) for name, offset in document["offsets"].items()},
        )

    def files(self) -> set[str]:
        return {
            f"{self.stem}.json",
            *(place.pack for place in (*self.blobs.values(), *self.clients.values())),
        }


class CheckpointStore:
    """The checkpoints of one run; only the latest is kept.

    Args:
        directory: where they lie; it exists.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(
        self,
        round: int,  # noqa: A002  (the field's word)
        blobs: Mapping[str, bytes],
        clients: Mapping[int, bytes],
        offsets: Mapping[str, int],
    ) -> None:
        """Write the named blobs and the clients that changed, commit, and remove what nothing refers to any more.

        Args:
            round: the round that is complete.
            blobs: all named states; the previous ones are dropped.
            clients: the states that changed since the previous checkpoint; all others are kept as they are.
            offsets: the sizes of the append-only files.

        Raises:
            RunFolderError: the disk is full or refuses; the previous checkpoint still counts.
        """
        previous = self._latest()
        stem = self._free_stem(round, previous)
        kept = {
            client: place
            for client, place in (previous.clients if previous else {}).items()
            if client not in clients
        }
        moved = {client: self._read(kept[client]) for client in self._in_mostly_dead_packs(kept)}
        blob_places = self._pack(f"{stem}.blobs", blobs)
        client_places = self._pack(f"{stem}.clients", {**moved, **clients})
        manifest = _Manifest(
            round, stem, blob_places, dict(sorted({**kept, **client_places}.items())), dict(offsets)
        )
        content = manifest.encode()
        write_atomically(self.directory / f"{stem}.json", content)
        pointer = {"manifest": f"{stem}.json", "sha256": hashlib.sha256(content).hexdigest()}
        write_atomically(self.directory / _LATEST, json.dumps(pointer).encode())
        self._sweep(manifest)

    def load(self) -> Checkpoint | None:
        """Read the latest checkpoint, or return None when the run has none yet.

        Raises:
            RunFolderError: a file of it is missing or its bytes are not what was written.
        """
        manifest = self._latest()
        if manifest is None:
            return None
        blobs = {name: self._read(place) for name, place in manifest.blobs.items()}
        clients = {client: self._read(place) for client, place in manifest.clients.items()}
        return Checkpoint(manifest.round, blobs, clients, manifest.offsets)

    def _latest(self) -> _Manifest | None:
        path = self.directory / _LATEST
        if not path.exists():
            return None
        try:
            pointer: dict[str, Any] = json.loads(path.read_bytes())
            path = self.directory / pointer["manifest"]
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != pointer["sha256"]:
                raise self._damaged(path)
            return _Manifest.decode(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(path) from error

    def _free_stem(self, round: int, previous: _Manifest | None) -> str:  # noqa: A002
        taken = {Path(name).stem for name in previous.files()} if previous else set()
        stem, attempt = f"round-{round:06d}", 0
        while stem in taken:
            attempt += 1
            stem = f"round-{round:06d}-{attempt}"
        return stem

    def _in_mostly_dead_packs(self, kept: Mapping[int, _Place]) -> list[int]:
        """Name the clients whose pack is mostly out of date: moving them bounds the disk at four times what is alive."""
        alive: dict[str, int] = {}
        for place in kept.values():
            alive[place.pack] = alive.get(place.pack, 0) + place.size
        with explained(self.directory, "read"):
            dead = {
                pack
                for pack, size in alive.items()
                if size < _MOSTLY_DEAD * (self.directory / pack).stat().st_size
            }
        return [client for client, place in kept.items() if place.pack in dead]

    def _pack(self, name: str, blobs: Mapping[K, bytes]) -> dict[K, _Place]:
        places, start = {}, 0
        for key, blob in blobs.items():
            places[key] = _Place(name, start, len(blob), hashlib.sha256(blob).hexdigest())
            start += len(blob)
        if places:
            write_atomically(self.directory / name, b"".join(blobs.values()))
        return places

    def _read(self, place: _Place) -> bytes:
        path = self.directory / place.pack
        try:
            with path.open("rb") as pack:
                pack.seek(place.start)
                content = pack.read(place.size)
        except OSError as error:
            raise self._damaged(path) from error
        if hashlib.sha256(content).hexdigest() != place.sha256:
            raise self._damaged(path)
        return content

    def _sweep(self, manifest: _Manifest) -> None:
        alive = {_LATEST, *manifest.files()}
        with explained(self.directory, "sweep"):
            for path in self.directory.iterdir():
                if path.name.startswith(("round-", _LATEST)) and path.name not in alive:
                    path.unlink()

    def _damaged(self, path: Path) -> RunFolderError:
        return RunFolderError(
            f"{path}: missing or damaged, so this run cannot continue; start it again in another folder"
        )
