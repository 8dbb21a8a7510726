"""The baselines beside a method: what they report, what they share with it, and that they are computed once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.baselines import _changed, _key, _other_method
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.settings import BASELINES

SCOPES = (
    "student",
    "ensemble_uniform",
    "ensemble_weighted",
    "ensemble_oracle",
    "clients_mean",
    "clients_worst",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("FEDKD_CACHE", str(cache))
        yield cache / "baselines"


@pytest.fixture(scope="module")
def result(cache: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> fedkd.Result:
    del cache  # it is set while this runs
    folder = tmp_path_factory.mktemp("baselines") / "run"
    return fedkd.run(*small, "method=feddf", "rounds=2", "baselines=all", output=folder)


def experiment(*overrides: str) -> Experiment:
    return Experiment.from_config(compose(list(overrides)))


def test_the_summary_has_every_scope_split_and_metric(result: fedkd.Result) -> None:
    written = json.loads((result.folder / "summary.json").read_text())
    for scope in (*SCOPES, *BASELINES):
        for split in ("validation", "test"):
            for metric in ("accuracy", "macro_f1", "loss", "ece"):
                value = written["final"][f"{scope}/{split}/{metric}"]
                assert isinstance(value, float), (scope, split, metric)
                assert metric == "loss" or 0.0 <= value <= 1.0
    for scope in ("clients_mean", "clients_worst", "local_only"):
        assert f"{scope}/own/accuracy" in written["final"] or scope == "local_only"
    assert 0.0 <= written["final"]["student/test/agreement"] <= 1.0
    assert {"bytes_up", "bytes_down", "seconds"} <= written.keys()


def test_baselines_stand_in_the_metrics_as_the_last_round(result: fedkd.Result) -> None:
    rows = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    baselines = [row for row in rows if row["scope"] in BASELINES]
    assert {row["scope"] for row in baselines} == set(BASELINES)
    assert {row["round"] for row in baselines} == {2}
    assert len({(row["scope"], row["split"], row["metric"]) for row in baselines}) == len(baselines)


def test_what_was_computed_once_is_recalled_with_the_same_numbers(
    result: fedkd.Result, cache: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    known = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.json")}
    assert len(known) == len(BASELINES)
    assert list((cache / "work").iterdir()) == []
    again = fedkd.run(*small, "method=feddf", "rounds=2", "baselines=all", output=tmp_path / "run")
    assert (again.folder / "log.txt").read_text().count("known from before") == len(BASELINES)
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("*.json")} == known
    assert again.final == result.final
    assert (again.folder / "metrics.jsonl").read_bytes() == (result.folder / "metrics.jsonl").read_bytes()


def test_an_ablation_recalls_what_does_not_depend_on_it(
    result: fedkd.Result, cache: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    del result, cache
    given = (
        "method=feddf",
        "method.fusion=mean_probabilities",
        "rounds=2",
        "baselines=[fedavg,local_only,pooled]",
    )
    log = (fedkd.run(*small, *given, output=tmp_path / "run").folder / "log.txt").read_text()
    assert log.count("known from before") == 3


def test_resuming_a_run_enters_its_baselines_once(result: fedkd.Result) -> None:
    before = (result.folder / "metrics.jsonl").read_bytes()
    again = fedkd.resume(result.folder)
    assert again.final == result.final
    assert (result.folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["local_only", "fedavg", "pooled"])
def test_a_baseline_differs_from_the_method_in_its_method_alone(name: str) -> None:
    method = experiment(
        "method=fedmd", "rounds=8", "clients=6", "seed=4", "model.hidden=[16]", "baselines=all"
    )
    other, scope = _other_method(name, method)
    apart = {"method", "baselines", "evaluate_every", "output"}
    assert without(other.resolved, apart) == without(method.resolved, apart)
    assert other.resolved["method"]["client"]["fit"] == method.resolved["method"]["client"]["fit"]
    assert other.settings.evaluate_every == 8
    assert other.baselines == ()
    assert scope == ("clients_mean" if name == "local_only" else "student")


def test_hard_pseudo_labels_change_one_line_of_the_distiller() -> None:
    method = experiment("method=feddf")
    distiller = {**method.resolved["method"]["distiller"], "hard": True}
    changed = _changed(method, method={**method.resolved["method"], "distiller": distiller})
    assert changed.method.distiller is not None
    assert changed.method.distiller.hard
    assert without(changed.resolved["method"], {"distiller"}) == without(
        method.resolved["method"], {"distiller"}
    )


def test_pooled_training_sees_as_many_samples_as_the_clients_that_take_part() -> None:
    method = experiment("method=feddf", "rounds=20", "clients=10", "clients_per_round=4")
    assert _other_method("pooled", method)[0].settings.rounds == 8
    assert _other_method("fedavg", method)[0].settings.rounds == 20


def test_where_weights_are_averaged_a_mixture_becomes_the_students_architecture() -> None:
    mixed = (
        "method=fedmd",
        "model=mixed",
        "model.shares={small:1,logistic:1}",
        "model.models={small:{name:mlp,hidden:[8]}}",
    )
    same = experiment(*mixed)
    assert _other_method("fedavg", same)[0].resolved["model"]["hidden"] == [8]
    assert _other_method("local_only", same)[0].resolved["model"] == same.resolved["model"]
    named = experiment(*mixed, "student=logistic")
    assert _other_method("fedavg", named)[0].resolved["model"] == {"name": "logistic", "view": None}


def test_the_cache_key_knows_what_a_result_depends_on_and_nothing_else() -> None:
    base = experiment("method=feddf", "threads=1").resolved
    for same in (
        "output=elsewhere",
        "runtime=inline",
        "baselines=all",
        "client_timeout=5",
        "evaluate_every=5",
    ):
        assert _key(experiment("method=feddf", "threads=1", same).resolved) == _key(base), same
    for other in ("seed=1", "rounds=3", "clients=9", "partition.alpha=0.1", "model.hidden=[3]", "threads=2"):
        assert _key(experiment("method=feddf", "threads=1", other).resolved) != _key(base), other


def test_a_method_without_a_distiller_says_which_baselines_do_not_apply(
    cache: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    del cache
    given = ("method=fedavg", "rounds=1", "baselines=[proxy_labels,pseudo_labels]")
    result = fedkd.run(*small, *given, output=tmp_path / "run")
    assert (result.folder / "log.txt").read_text().count("does not apply") == 2
    assert not any(key.startswith(("proxy_labels", "pseudo_labels")) for key in result.final)


def without(config: object, keys: set[str]) -> dict[str, object]:
    assert isinstance(config, dict)
    return {key: value for key, value in config.items() if key not in keys}
