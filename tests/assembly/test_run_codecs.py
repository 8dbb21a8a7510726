"""Codecs in whole runs: what is counted, and what must not depend on how a run was carried through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fedkd
from fedkd.engine import handlers
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.watching import Silent
from fedkd.knowledge.package import Package

VOTES = "{name: constrained, layout: classes}"
CODECS = (
    "method.codec=bfloat16",
    "method.codec=int8",
    "method.codec=constrained",
    "method.codec=top_k",
    "method.codec=delta",
    f"method.codec={{name: entropy, of: {{name: delta, of: {VOTES}}}}}",
)
P, C = 60, 10
SIZES = {"bfloat16": P * C * 2, "int8": P * (C + 8), "constrained": P * C // 8, "top_k": P * 3 * 3}


def payloads(folder: Path, direction: str) -> list[int]:
    rows = fedkd.load_ledger(folder)
    rows = rows[(rows["phase"] == "train") & (rows["direction"] == direction)]
    return [int(size) for size in rows["payload"]]


@pytest.mark.parametrize("codec", CODECS)
def test_the_ledger_holds_what_the_codec_states(codec: str, uninterrupted: Callable[..., Path]) -> None:
    folder = uninterrupted("method=dsfl", codec)
    up, down = payloads(folder, "up"), payloads(folder, "down")
    assert len(up) == 9
    stated = SIZES.get(codec.partition("=")[2])
    if stated is None:
        full = P * C * 4 if codec.endswith("delta") else P // 2
        assert all(0 < size <= -(-P // 8) + full + 1 for size in up)
    else:
        assert set(up) == {stated}
        assert set(down) == {0, stated}


@pytest.mark.parametrize("engine", ["sequential", "vectorised"])
def test_differences_of_exact_numbers_change_no_result(
    engine: str, uninterrupted: Callable[..., Path], outcome: Callable[..., dict[str, Any]]
) -> None:
    """Clients that were absent hold other copies than the rest, and are trained with them all the same."""
    plain, delta = (
        outcome(uninterrupted("method=dsfl", f"method.codec={codec}", f"engine={engine}"))
        for codec in ("float32", "delta")
    )
    assert plain["metrics.jsonl"] == delta["metrics.jsonl"]
    assert plain["arrays"] == delta["arrays"]


class _Stopped(Exception):
    pass


class _Stopper(Silent):
    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        del total
        if round == 3 and name == "fuse and distil":
            raise _Stopped


@pytest.mark.parametrize("codec", CODECS[-2:])
def test_a_stopped_run_goes_on_with_the_same_copies(
    codec: str,
    uninterrupted: Callable[..., Path],
    outcome: Callable[..., dict[str, Any]],
    small: tuple[str, ...],
    tmp_path: Path,
) -> None:
    with pytest.raises(_Stopped):
        fedkd.run(*small, "method=dsfl", codec, output=tmp_path / "run", watcher=_Stopper())
    fedkd.resume(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(uninterrupted("method=dsfl", codec))


def test_a_client_whose_answer_was_refused_says_everything_again(
    small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client 2 sends NaN in round 2; in round 3 its copies are forgotten, and its answer is whole and used."""
    honest = handlers._say

    def say(side: Any, turn: Any, package: Package) -> Any:
        if turn.client == 2 and turn.mail.round == 2:
            package = Package(package.kind, {"values": torch.full((P, C), torch.nan)}, ids=package.ids)
        return honest(side, turn, package)

    monkeypatch.setattr(handlers, "_say", say)
    result = fedkd.run(
        *small, "method=dsfl", "method.codec=delta", "clients_per_round=null", output=tmp_path / "run"
    )
    metrics = fedkd.load_runs(tmp_path / "run")
    failures = metrics[metrics["metric"] == "failures"].sort_values("round")["value"].tolist()
    assert failures == [0, 0, 1, 0]
    rows = fedkd.load_ledger(result.folder)
    third = rows[(rows["round"] == 3) & (rows["phase"] == "train") & (rows["client"] == 2)]
    assert set(third["payload"]) == {8 + P * C * 4}
    assert RunFolder.open(result.folder).load_checkpoint() is not None
