"""Small runs on the digits, and what of a run must not depend on how it was computed."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fedkd
from fedkd.foundation.run_folder import RunFolder

SMALL = (
    "data=digits",
    "data.samples=400",
    "proxy.size=60",
    "model=mlp",
    "model.hidden=[16]",
    "method.client.fit.epochs=1",
    "runtime=inline",
    "seed=3",
    "rounds=3",
    "clients=4",
    "clients_per_round=3",
)


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Overrides of a run of under a second, in which a client is left out of every round."""
    return SMALL


@pytest.fixture(scope="module", autouse=True)
def _without_pictures() -> Iterator[None]:
    """Leave out the pictures, which take longer than a small run and are tested where they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedkd.assembly.run._draw", lambda _: None)
        yield


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give the folder of an inline run that nothing happened to; equal overrides run once."""

    @functools.cache
    def run(*overrides: str) -> Path:
        folder = tmp_path_factory.mktemp("uninterrupted") / "run"
        return fedkd.run(*SMALL, *overrides, output=folder).folder

    return run


@pytest.fixture(scope="session")
def processes_with() -> Callable[[str, str], list[int]]:
    """Find the processes that were started with an environment variable set to a value, and have not ended."""

    def find(name: str, value: str) -> list[int]:
        mark = f"{name}={value}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            # A process may end at any point of this, which leaves even an open file unreadable.
            with contextlib.suppress(OSError), (folder / "environ").open("rb", buffering=0) as environment:
                if mark in (environment.read() or b"").split(b"\0"):
                    found.append(int(folder.name))
        return found

    return find


@pytest.fixture(scope="session")
def outcome() -> Callable[..., dict[str, object]]:
    """Give the bytes of a run that depend on its config alone: metrics, ledger, and the last checkpoint."""

    def read(folder: Path, *, clients: bool = True) -> dict[str, object]:
        checkpoint = RunFolder.open(folder).load_checkpoint()
        assert checkpoint is not None
        found: dict[str, object] = {"round": checkpoint.round, **checkpoint.blobs}
        for name in ("metrics.jsonl", "ledger.jsonl", "partition.json"):
            found[name] = (folder / name).read_bytes()
        if clients:
            found["clients"] = dict(checkpoint.clients)
        return found

    return read
