"""Checkpoints of a run: incremental, checked, and committed by replacing one small file.

`latest.json` is the checkpoint that counts. It says where the named blobs lie, and how much counts of the index of clients'
states (`_checkpoint_index.py`). States that did not change stay in the packs of earlier rounds and in the lines of the index,
so a save costs what changed. `latest.json` is replaced after everything else is on the disk, so a crash before that leaves
the previous checkpoint, and junk that the next one sweeps.

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
from typing import Any

from fedkd.foundation._checkpoint_index import Index, Pack, States, damaged
from fedkd.foundation.durable import explained, write_atomically
from fedkd.foundation.errors import RunFolderError

_LATEST = "latest.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a run continues from.

    Args:
        round: the last round that is complete.
        blobs: the named states of the server side.
        clients: the state of every client that has one, by client id; each is read and checked when it is asked for, which
            has to be before the next save.
        offsets: the size in bytes of each append-only file at that moment.
    """

    round: int
    blobs: dict[str, bytes]
    clients: Mapping[int, bytes]
    offsets: dict[str, int]


@dataclass(frozen=True)
class _Latest:
    """What `latest.json` holds; of the index its name, how many bytes of it count, and their hash."""

    round: int
    offsets: dict[str, int]
    blobs: Pack[str]
    index: tuple[str, int, str]

    def encode(self) -> bytes:
        document = {
            "round": self.round,
            "offsets": self.offsets,
            "blobs": self.blobs.encode(),
            "clients": list(self.index),
        }
        return json.dumps({**document, "sha256": _sha256(document)}).encode()

    @classmethod
    def decode(cls, content: bytes) -> "_Latest":
        document = json.loads(content)
        if document.pop("sha256") != _sha256(document):
            raise ValueError("not what was written")
        name, size, sha256 = document["clients"]
        return cls(
            document["round"], document["offsets"], Pack.decode(document["blobs"]), (name, size, sha256)
        )


class CheckpointStore:
    """The checkpoints of one run; only the latest is kept.

    Args:
        directory: where they lie; it exists.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: tuple[bytes, Index] | None = None  # `latest.json` as this store wrote it, and its index

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
            RunFolderError: the disk is full or refuses, and the previous checkpoint still counts; or a file of it is missing or
                damaged.
        """
        content = self._content()
        previous = None if content is None else self._decoded(content)
        if self._known is not None and self._known[0] == content:
            index = self._known[1]
        else:
            index = Index() if previous is None else Index.read(self.directory, *previous.index)
        self._known = None  # until it is committed, the index is ahead of the disk
        stem = _free_stem(round, {*index.files(), *([previous.blobs.name] if previous else [])})
        for client in clients:
            index.drop(client)
        moved = {
            client: pack.read(self.directory, client)
            for pack in index.packs.values()
            if pack.mostly_dead
            for client in pack.places
        }
        named = Pack.write(self.directory / f"{stem}.blobs", blobs)
        changed = Pack.write(self.directory / f"{stem}.clients", {**moved, **clients})
        if changed.places:
            index.add(self.directory, changed, stem)
        latest = _Latest(round, dict(offsets), named, (index.name, index.size, index.sha256)).encode()
        write_atomically(self.directory / _LATEST, latest)
        self._known = latest, index
        self._sweep({_LATEST, *index.files(), *([named.name] if named.places else [])})

    def load(self) -> Checkpoint | None:
        """Return the latest checkpoint, or None when the run has none yet.

        Raises:
            RunFolderError: a file of it is missing or its bytes are not what was written.
        """
        content = self._content()
        if content is None:
            return None
        latest = self._decoded(content)
        index = Index.read(self.directory, *latest.index)
        blobs = {name: latest.blobs.read(self.directory, name) for name in latest.blobs.places}
        return Checkpoint(latest.round, blobs, States(self.directory, index), latest.offsets)

    def _content(self) -> bytes | None:
        path = self.directory / _LATEST
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise damaged(path) from error

    def _decoded(self, content: bytes) -> _Latest:
        path = self.directory / _LATEST
        try:
            if "manifest" in json.loads(content):
                raise RunFolderError(
                    f"{path}: written by an earlier version of fedkd, so this run cannot continue; start it again in another folder"
                )
            return _Latest.decode(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path) from error

    def _sweep(self, alive: set[str]) -> None:
        with explained(self.directory, "sweep"):
            present = {path.name for path in self.directory.iterdir()}
            for name in present - alive:
                if name.startswith(("round-", _LATEST)):
                    (self.directory / name).unlink()
        for name in alive - present:
            raise damaged(self.directory / name)


def _free_stem(round: int, taken: set[str]) -> str:  # noqa: A002  (the field's word)
    stems = {name.partition(".")[0] for name in taken}
    stem, attempt = f"round-{round:06d}", 0
    while stem in stems:
        attempt += 1
        stem = f"round-{round:06d}-{attempt}"
    return stem


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()
