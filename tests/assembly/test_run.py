"""A result does not depend on who computed it, or on what happened meanwhile."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import start_folder
from fedkd.foundation import durable
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.run_folder import RunFolder
from fedkd.runtime.flower import run_with_supernodes
from fedkd.runtime.runtimes.flower import Flower
from fedkd.runtime.runtimes.inline import Inline

under_flower = pytest.mark.xdist_group("flower-runs")
Uninterrupted = Callable[..., Path]
Outcome = Callable[..., dict[str, object]]


@pytest.fixture
def nothing_left(tmp_path: Path, processes_with: Callable[[str, str], list[int]]) -> Iterator[None]:
    """Require that every process that a test starts has ended with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDKD_TEST", str(tmp_path))
        yield
    assert processes_with("FEDKD_TEST", str(tmp_path)) == []


class Crash(BaseException):
    """What nothing catches: the process is gone at this moment, as far as the files are concerned."""


@pytest.mark.usefixtures("ray_instance")
def test_one_actor_gives_the_bytes_of_inline(
    small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    ray = fedkd.run(*small, "method=dsfl", "runtime=ray", "runtime.num_actors=1", output=tmp_path / "ray")
    assert outcome(ray.folder) == outcome(uninterrupted("method=dsfl"))


@pytest.mark.usefixtures("ray_instance")
def test_compiled_steps_give_the_same_bytes_in_actors_as_in_one_process(
    small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    compiled = ("method=fedavg", "rounds=2", "engine=vectorised", "engine.compile=true")
    ray = fedkd.run(*small, *compiled, "runtime=ray", "runtime.num_actors=2", output=tmp_path / "ray")
    assert outcome(ray.folder) == outcome(uninterrupted(*compiled))


@under_flower
@pytest.mark.usefixtures("nothing_left")
def test_flowers_own_runtime_gives_the_bytes_of_inline(
    small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    # Flower hands over one client at a time, so nothing is trained at once: the bytes are those of the sequential engine.
    few = ("method=dsfl", "rounds=2", "engine=sequential")
    flower = fedkd.run(*small, *few, "runtime=flower", output=tmp_path / "flower")
    expected = uninterrupted(*few)
    assert outcome(flower.folder, clients=False) == outcome(expected, clients=False)
    assert flower.final == json.loads((expected / "summary.json").read_text())["final"]


@under_flower
@pytest.mark.usefixtures("nothing_left")
def test_supernodes_that_are_processes_of_their_own_give_the_bytes_of_inline(
    small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    few = ("method=feddf", "rounds=1", "clients=2", "clients_per_round=2", "engine=sequential")
    experiment = Experiment.from_config(
        compose([*small, *few, "runtime=flower", f"output={tmp_path / 'nodes'}"])
    )
    folder = start_folder(experiment)
    run_with_supernodes({}, folder.path, num_clients=2)
    assert outcome(folder.path, clients=False) == outcome(uninterrupted(*few), clients=False)


def test_a_crash_while_any_file_is_written_changes_nothing_after_a_resume(
    small: tuple[str, ...],
    uninterrupted: Uninterrupted,
    outcome: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = ("method=dsfl", "rounds=2")
    expected = outcome(uninterrupted(*few))
    write_all = durable.write_all
    writes, last = 0, 0

    def write_half(descriptor: int, content: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes == last:
            write_all(descriptor, content[: len(content) // 2])
            raise Crash
        write_all(descriptor, content)

    monkeypatch.setattr(durable, "write_all", write_half)
    fedkd.run(*small, *few, output=tmp_path / "counted")
    crashes = range(8, writes + 1, 2)  # the first seven writes make the folder
    assert len(crashes) >= 8
    for last in crashes:
        writes = 0
        folder = tmp_path / f"crash-{last}"
        with pytest.raises(Crash):
            fedkd.run(*small, *few, output=folder)
        fedkd.resume(folder)
        assert outcome(folder) == expected, f"write {last}"
        shutil.rmtree(folder)


def test_rows_after_the_checkpoint_and_files_half_written_are_forgotten_by_a_resume(
    small: tuple[str, ...], uninterrupted: Uninterrupted, outcome: Outcome, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    fedkd.run(*small, "method=dsfl", output=folder)
    for name in ("metrics.jsonl", "ledger.jsonl", "timings.jsonl"):
        with (folder / name).open("ab") as record:
            record.write(b'{"round": 4, "scope": "student"}\n{"round": \xff\x00')
    for name in ("round-000004.blobs", "round-000004.index", "latest.json.unfinished"):
        (folder / "checkpoints" / name).write_bytes(b"half a fi")
    with (folder / "checkpoints" / "round-000001.index").open("ab") as index:
        index.write(b'{"file": "round-000004.cl')
    fedkd.resume(folder)
    assert outcome(folder) == outcome(uninterrupted("method=dsfl"))


def test_resuming_a_finished_run_says_the_same_again(uninterrupted: Uninterrupted, outcome: Outcome) -> None:
    folder = uninterrupted("method=feddf")
    before, summary = outcome(folder), json.loads((folder / "summary.json").read_text())
    again = fedkd.resume(folder)
    assert outcome(folder) == before
    assert again.final == summary["final"]
    assert again.summary["bytes_up"] == summary["bytes_up"]


@pytest.mark.parametrize(("method", "first"), [("dsfl", 0), ("feddf", 2)])
def test_under_a_runtime_that_keeps_no_states_only_clients_that_remember_start_over(
    method: str,
    first: int,
    small: tuple[str, ...],
    uninterrupted: Uninterrupted,
    outcome: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not Flower.keeps_client_states
    monkeypatch.setattr(Inline, "keeps_client_states", False)
    folder = tmp_path / "run"
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save_checkpoint", recording(done, crash_after=1))
        with pytest.raises(Crash):
            fedkd.run(*small, f"method={method}", output=folder)
    assert done == [0, 1]
    monkeypatch.setattr(RunFolder, "save_checkpoint", recording(done))
    done.clear()
    fedkd.resume(folder)
    assert done == list(range(first, 4))
    assert outcome(folder) == outcome(uninterrupted(f"method={method}"))
    done.clear()
    fedkd.resume(folder)
    assert done == []  # a run that is over has nothing to start over for


@pytest.mark.parametrize("method", ["fd", "fedmd", "dsfl", "feddf"])
def test_clients_of_different_architectures_take_part(
    method: str, small: tuple[str, ...], tmp_path: Path
) -> None:
    mixed = ("model=mixed", "model.shares={mlp:0.5,logistic:0.5}", "model.models={mlp:{name:mlp,hidden:[8]}}")
    given = [option for option in small if not option.startswith("model")]
    result = fedkd.run(*given, *mixed, f"method={method}", "rounds=2", output=tmp_path / method)
    assert result.summary["failures"] == 0
    assert 0.0 <= result.final["clients_mean/test/accuracy"] <= 1.0
    assert ("student/test/accuracy" in result.final) == (method != "fd")


def test_clients_of_different_architectures_are_refused_where_weights_are_averaged(tmp_path: Path) -> None:
    with pytest.raises(IllegalCombination, match="one architecture for all"):
        fedkd.run("method=fedavg", "model=mixed", output=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["fedmd", "feddf", "fedavg", "local", "pooled"])
def test_numbers_are_learned_as_classes_are(method: str, small: tuple[str, ...], tmp_path: Path) -> None:
    diabetes = ("data=diabetes", "data.samples=200", "rounds=2")
    given = [option for option in small if not option.startswith("data")]
    result = fedkd.run(*given, *diabetes, f"method={method}", output=tmp_path / method)
    scope = "clients_mean" if method == "local" else "student"
    assert result.final[f"{scope}/test/rmse"] > 0
    assert result.summary["failures"] == 0
    assert "accuracy" not in (result.folder / "metrics.jsonl").read_text()


def test_the_frame_of_a_result_holds_its_metrics(uninterrupted: Uninterrupted) -> None:
    folder = uninterrupted("method=feddf")
    summary = json.loads((folder / "summary.json").read_text())
    frame = fedkd.Result(folder, summary).frame
    last = frame[(frame["round"] == 3) & (frame["scope"] == "student") & (frame["split"] == "test")]
    assert (
        float(last.loc[last["metric"] == "accuracy", "value"].iloc[0])
        == summary["final"]["student/test/accuracy"]
    )


def recording(done: list[int], crash_after: int | None = None) -> Callable[..., None]:
    save = RunFolder.save_checkpoint

    def saving(self: RunFolder, current: int, *arguments: object) -> None:
        save(self, current, *arguments)
        done.append(current)
        if current == crash_after:
            raise Crash

    return saving
