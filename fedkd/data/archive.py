"""An archive: the files of a data set, where they come from, how they are decoded, and the hash they must have.

What is cached is not the download but the decoded arrays, so that a set from any of its sources is the same file.

>>> load(FASHION_MNIST)["images"].shape
(70000, 28, 28)
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedkd.data.progress import Progress, showing
from fedkd.data.sources import Source, SourceError
from fedkd.foundation.errors import DataUnavailable

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Archive:
    """A data set as files.

    Args:
        name: name of the data set, or of what else the files hold.
        files: bare names of the files that every source must deliver.
        sources: tried in this order.
        decode: reads the files in a folder into arrays.
        sha256: what `digest` gives for the right arrays.
        kind: what it is, in words.
    """

    name: str
    files: tuple[str, ...]
    sources: tuple[Source, ...]
    decode: Callable[[Path], Arrays]
    sha256: str
    kind: str = "data set"

    @property
    def path(self) -> Path:
        """Where the decoded arrays are cached, whether they are there or not."""
        return cache_folder() / f"{self.name}-{self.sha256[:12]}.safetensors"


def cache_folder() -> Path:
    """Return the folder of decoded data sets: FEDKD_CACHE, or the user's cache folder of this system."""
    given = os.environ.get("FEDKD_CACHE")
    return Path(given) if given else Path(platformdirs.user_cache_dir("fedkd"))


def digest(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of arrays, in the order of their names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")  # a single number stays one, without an axis
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.data)
    return state.hexdigest()


def load(archive: Archive) -> Arrays:
    """Return the arrays of a data set, fetched first if they are not in the cache.

    Raises:
        DataUnavailable: no source delivers, or the cached file cannot be read or is not what it should be.
    """
    return _read(archive) if is_cached(archive) else _fetch(archive, visible=True)


def obtain(archive: Archive, *, progress: bool = True) -> Path:
    """Make sure that a sound copy of a data set is in the cache, and return its path; a broken copy is replaced.

    Args:
        archive: what to fetch.
        progress: whether to show on a terminal what is being done.

    Raises:
        DataUnavailable: no source delivers; the message says for each what happened. Nothing is left behind.
    """
    if is_cached(archive):
        with contextlib.suppress(DataUnavailable):
            _read(archive)
            return archive.path
    _fetch(archive, visible=progress)
    return archive.path


def is_cached(archive: Archive) -> bool:
    """Return whether there is a cached file, sound or not.

    Raises:
        DataUnavailable: the cache folder cannot be looked into.
    """
    try:
        return archive.path.exists()
    except OSError as error:
        raise DataUnavailable(
            f"{archive.kind} {archive.name}: cannot look into {cache_folder()} ({error.strerror})"
        ) from error


def _read(archive: Archive) -> Arrays:
    cure = f"fetch it again with `fedkd data fetch {archive.name}`"
    try:
        arrays: Arrays = dict(load_file(archive.path))
    except OSError as error:
        raise DataUnavailable(
            f"{archive.kind} {archive.name}: cannot read {archive.path} ({error.strerror or error}); {cure}"
        ) from error
    except SafetensorError as error:
        raise DataUnavailable(
            f"{archive.kind} {archive.name}: {archive.path} is damaged ({error}); {cure}"
        ) from error
    if digest(arrays) != archive.sha256:
        raise DataUnavailable(
            f"{archive.kind} {archive.name}: {archive.path} does not hold what it should (SHA-256 differs); {cure}"
        )
    return arrays


def _fetch(archive: Archive, *, visible: bool) -> Arrays:
    failures = []
    with _part_file(archive) as part, showing(archive.name, visible=visible) as progress:
        for source in archive.sources:
            try:
                arrays = _from(source, archive, progress)
            except SourceError as error:
                failures.append(f"{source.label}: {error}")
                continue
            # what is saved is memory, and parts of larger arrays lie in it otherwise than they are read
            save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, part)
            part.chmod(0o644)  # a temporary file is private; a cache may be shared
            part.replace(archive.path)
            return arrays
    raise DataUnavailable(f"{archive.kind} {archive.name}: no source delivered it [{'; '.join(failures)}]")


def _from(source: Source, archive: Archive, progress: Progress) -> Arrays:
    progress.say(source.label)
    with tempfile.TemporaryDirectory(prefix="fedkd-") as scratch:
        folder = source.collect(archive.files, Path(scratch), progress)
        try:
            arrays = archive.decode(folder)
        except (
            Exception
        ) as error:  # a broken file may fail its decoder in any way; the next source may be sound
            raise SourceError(
                f"what it delivered cannot be decoded ({type(error).__name__}: {error})"
            ) from error
    found = digest(arrays)
    if found != archive.sha256:
        raise SourceError(
            f"what it delivered is something else: SHA-256 {found[:12]}..., expected {archive.sha256[:12]}..."
        )
    return arrays


@contextlib.contextmanager
def _part_file(archive: Archive) -> Iterator[Path]:
    """Hold a file beside the final one, made before anything is downloaded, and gone afterwards whatever happens."""
    folder = cache_folder()
    part = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{archive.name}-", suffix=".part")
        os.close(handle)
        part = Path(name)
        yield part
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataUnavailable(
            f"{archive.kind} {archive.name}: cannot write to the cache {folder} ({reason}); free it, or set FEDKD_CACHE to another folder"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
