"""The folder of one run: its config, append-only records, checkpoints and summary, written so that a crash is harmless.

>>> folder = RunFolder.create(Path("runs/demo"), config={"seed": 0}, environment={"python": "3.11"})
>>> folder.append_metrics([metric(round=0, scope="student", split="test", metric="accuracy", value=0.1)])
>>> folder.save_checkpoint(0, blobs={"student": b"weights"}, clients={})
"""

import contextlib
import datetime as dt
import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from fedkd.foundation.checkpoints import Checkpoint, CheckpointStore
from fedkd.foundation.durable import append_durably, explained, truncate_durably, write_atomically
from fedkd.foundation.errors import RunFolderError

FORMAT = 1
"""Version of the layout; a folder of another version is refused."""

CONFIG, ENVIRONMENT, SUMMARY, PARTITION = "config.yaml", "environment.json", "summary.json", "partition.json"
METRICS, TIMINGS, LEDGER, LOG = "metrics.jsonl", "timings.jsonl", "ledger.jsonl", "log.txt"
RECORDS = (METRICS, TIMINGS, LEDGER)


class MetricRow(TypedDict):
    """One measured number. `client` is None unless the scope is "client"; `value` is None where nothing could be measured."""

    round: int
    scope: str
    client: int | None
    split: str
    metric: str
    value: float | None


class TimingRow(TypedDict):
    """How many seconds a phase of a round took."""

    round: int
    phase: str
    seconds: float


class LedgerRow(TypedDict):
    """One message: `bytes` is its serialised content, `payload` the exact size of the knowledge by its codec's formula."""

    round: int
    phase: Literal["train", "evaluate", "once", "query"]
    client: int | None
    direction: Literal["up", "down"]
    bytes: int
    payload: int


def metric(
    *,
    round: int,  # noqa: A002  (the field's word)
    scope: str,
    split: str,
    metric: str,
    value: float | None,
    client: int | None = None,
) -> MetricRow:
    """Return one row of the metrics in plain numbers, so that equal results are equal bytes; NaN and infinity become None."""
    return MetricRow(
        round=int(round),
        scope=scope,
        client=None if client is None else int(client),
        split=split,
        metric=metric,
        value=None if value is None or not math.isfinite(value) else float(value),
    )


def default_path(root: Path, name: str, config: Mapping[str, Any], now: dt.datetime) -> Path:
    """Return `root/name/<time>-<hash>`, the hash being that of the config."""
    digest = hashlib.blake2b(json.dumps(_plain(config), sort_keys=True).encode(), digest_size=4).hexdigest()
    return root / name / f"{now:%Y%m%d-%H%M%S}-{digest}"


class RunFolder:
    """A run on the disk. Make one with `create` or `open`.

    Args:
        path: the directory itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint_dir = path / "checkpoints"
        self.pictures_dir = path / "pictures"
        self._checkpoints = CheckpointStore(self.checkpoint_dir)

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> "RunFolder":
        """Make a folder for a new run, or leave everything as it was.

        The config is written last: a directory without it holds no run, so a crash in here is harmless too.

        Raises:
            RunFolderError: there is a run already, or the directory cannot be made or written.
        """
        import yaml

        if holds_run(path) or any(_size(path / name) for name in RECORDS):
            raise RunFolderError(
                f"{path}: holds a run already; continue it with `fedkd resume {path}`, or name another output"
            )
        with explained(path, "look into"):
            new = [ancestor for ancestor in (path, *path.parents) if not ancestor.exists()]
        folder = cls(path)
        try:
            with explained(path, "create a run folder"):
                for directory in (path, folder.checkpoint_dir, folder.pictures_dir):
                    directory.mkdir(parents=True, exist_ok=True)
            for name in (*RECORDS, LOG):
                write_atomically(path / name, b"")
            folder.write_json(ENVIRONMENT, {**environment, "format": FORMAT})
            write_atomically(
                path / CONFIG, yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True).encode()
            )
        except BaseException:
            folder._remove(new)
            raise
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of a run that was started before.

        Raises:
            RunFolderError: there is no run, or it was written by a version with another layout.
        """
        if not holds_run(path):
            raise RunFolderError(f"{path}: holds no run (it has no {CONFIG})")
        folder = cls(path)
        environment = folder.read_json(ENVIRONMENT)
        found = environment.get("format") if isinstance(environment, dict) else None
        if found != FORMAT:
            raise RunFolderError(
                f"{path}: a run folder of another version (format {found!r}); this fedkd reads format {FORMAT}"
            )
        with explained(path, "open a run folder"):
            for directory in (folder.checkpoint_dir, folder.pictures_dir):
                directory.mkdir(exist_ok=True)
        return folder

    def config(self) -> dict[str, Any]:
        """Return the resolved config."""
        import yaml

        path = self.path / CONFIG
        try:
            config = yaml.safe_load(path.read_bytes())
        except (OSError, yaml.YAMLError) as error:
            raise RunFolderError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(config, dict):
            raise RunFolderError(f"{path}: holds no mapping")
        return config

    def append_metrics(self, rows: Iterable[MetricRow]) -> None:
        """Append measured numbers, in one write; nothing that depends on a clock belongs here."""
        self._append(METRICS, (metric(**row) for row in rows), tuple(MetricRow.__annotations__))

    def append_timings(self, rows: Iterable[TimingRow]) -> None:
        """Append how long phases took."""
        self._append(TIMINGS, rows, tuple(TimingRow.__annotations__))

    def append_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Append the sizes of messages."""
        self._append(LEDGER, rows, tuple(LedgerRow.__annotations__))

    def log(self, line: str) -> None:
        """Append a line, with the time of day, to the log."""
        now = dt.datetime.now(tz=dt.UTC)
        with explained(self.path / LOG, "append"), (self.path / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{now:%Y-%m-%dT%H:%M:%SZ} {line}\n")

    def offsets(self) -> dict[str, int]:
        """Return the present size in bytes of each append-only record."""
        return {name: _size(self.path / name) for name in RECORDS}

    def truncate(self, offsets: Mapping[str, int]) -> None:
        """Forget what was appended after the given sizes; a record that is not named is emptied.

        Raises:
            RunFolderError: a record is shorter than it was, so lines of it are lost.
        """
        for name, present in self.offsets().items():
            wanted = offsets.get(name, 0)
            if present < wanted:
                raise RunFolderError(
                    f"{self.path / name}: has {present} bytes, had {wanted} at the checkpoint; it was changed by hand or is damaged"
                )
            truncate_durably(self.path / name, wanted)

    def write_json(self, name: str, document: Any) -> None:
        """Write a document in one step; numbers that are not finite become null."""
        write_atomically(self.path / name, (json.dumps(_plain(document), indent=2) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read a document.

        Raises:
            RunFolderError: it is missing or is no JSON.
        """
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path / name}: cannot be read: {error}") from error

    def save_checkpoint(self, round: int, blobs: Mapping[str, bytes], clients: Mapping[int, bytes]) -> None:  # noqa: A002
        """Save all named states, the clients that changed, and the sizes of the records; see `CheckpointStore.save`."""
        self._checkpoints.save(round, blobs, clients, self.offsets())

    def forget_checkpoints(self) -> None:
        """Drop all checkpoints, so that the run starts over; its records are dropped when it does."""
        with explained(self.checkpoint_dir, "clear"):
            shutil.rmtree(self.checkpoint_dir)
            self.checkpoint_dir.mkdir()

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the latest complete checkpoint, or None; whatever a crash has left half-written is ignored."""
        return self._checkpoints.load()

    def _append(self, name: str, rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> None:
        lines = [
            json.dumps({column: row[column] for column in columns}, default=_plain) + "\n" for row in rows
        ]
        if lines:
            append_durably(self.path / name, "".join(lines).encode())

    def _remove(self, new: Sequence[Path]) -> None:
        if new and self.path == new[0]:
            shutil.rmtree(new[-1], ignore_errors=True)
            return
        for name in (*RECORDS, LOG, ENVIRONMENT, CONFIG):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        for directory in (self.checkpoint_dir, self.pictures_dir):
            with contextlib.suppress(OSError):
                directory.rmdir()


def holds_run(path: Path) -> bool:
    """Say whether a directory holds a run; a directory without a config does not.

    Raises:
        RunFolderError: the path is something else than a directory, or may not be looked at.
    """
    with explained(path, "look into"):
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"{path}: is a file; name a directory as the output")
        return (path / CONFIG).exists()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _plain(value: Any) -> Any:
    """Return a value that JSON and YAML can write: arrays and scalars of NumPy unwrapped, what is not finite as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
