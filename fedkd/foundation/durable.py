"""Writing files so that a crash at any byte leaves the old content or the new one, and never a mixture.

>>> write_atomically(Path("summary.json"), b"{}")
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fedkd.foundation.errors import RunFolderError

_UNFINISHED = ".unfinished"


@contextlib.contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """Turn an error of the operating system (full disk, no permission, ...) into one line about a path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunFolderError(
            f"{path}: cannot {doing}: {reason}; free space, fix the rights, or name another output"
        ) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte to an open file and wait until the disk has them."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Put content at a path in one step: a reader, and a crash, see all of it or what was there before."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    with explained(path, "write"):
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                write_all(descriptor, content)
            finally:
                os.close(descriptor)
            unfinished.replace(path)
            sync_directory(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise


def append_durably(path: Path, content: bytes) -> None:
    """Append in one write and wait for the disk; what a failed write has left is cut off again."""
    with explained(path, "append"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


def truncate_durably(path: Path, size: int) -> None:
    """Cut a file off after some bytes and wait for the disk."""
    with explained(path, "truncate"), path.open("ab") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut, where the system has a way to ask for it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
