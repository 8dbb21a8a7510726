"""Offline distillation as recipes say it: teachers are clients, generations follow each other, and a run can be resumed."""

import contextlib
import json
from pathlib import Path

import pytest
import safetensors.torch

import fedkd
from fedkd.assembly.apps import CONFIG, client_app
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import start_folder
from fedkd.assembly.serve import serve
from fedkd.assembly.trained import weights_in
from fedkd.cli.estimate import estimate_of
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.run_folder import METRICS
from fedkd.foundation.watching import Silent
from fedkd.runtime.inline import InlineGrid

QUICK = (
    "runtime=inline",
    "threads=1",
    "seed=1",
    "data.samples=300",
    "method.client.fit.epochs=1",
    "method.distiller.fit.epochs=1",
)
TEACHERS = (
    "kd",
    "compression",
    "aver",
    "ebkd",
    "ca_mkd",
    "aekd",
    "tmkd",
    "amtml",
    "voted_triplets",
    "similarity",
    "enhancement",
    "amalgamation",
)
GENERATIONS = ("ban", "takd", "expansion")


class Stopped(Exception):
    """The run is stopped on purpose."""


class Stopper(Silent):
    def phase(self, round: int, name: str, total: int | None) -> None:  # noqa: A002
        del name, total
        if round == 3:
            raise Stopped


@pytest.mark.parametrize("method", [*TEACHERS, *GENERATIONS])
def test_every_recipe_runs_with_the_data_that_it_presets(method: str, tmp_path: Path) -> None:
    result = fedkd.run(*QUICK, f"method={method}", output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert result.final["student/test/accuracy"] is not None
    assert result.final["clients_mean/test/accuracy"] is not None
    assert ("generations/test/accuracy" in result.final) == (method == "ban")


def test_specialists_of_a_federation_are_fused_by_the_classes_that_they_say_they_have(tmp_path: Path) -> None:
    parts = ("method.fusion=union", "method.weighting={name:class_counts,by:teachers}")
    spread = ("partition=shards", "clients=3", "rounds=1", "proxy.size=60")
    for method in ("feddf", "fedmd"):
        quick = (*QUICK[:4], "method.client.fit.epochs=1")
        result = fedkd.run(*quick, f"method={method}", *parts, *spread, output=tmp_path / method)
        assert result.summary["failures"] == 0
    with pytest.raises(
        IllegalCombination, match=r"fusion=union goes by the classes that each client has seen"
    ):
        fedkd.run("method=enhancement", "method.weighting=uniform", output=tmp_path / "refused")


def test_teachers_of_three_domains_teach_a_student_of_a_fourth(tmp_path: Path) -> None:
    small = ("data.per_source=100", "data.test_samples=200", "proxy.size=60", "data.samples=null")
    result = fedkd.run(*QUICK, "method=adaptation", *small, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    owners = json.loads((tmp_path / "run" / "partition.json").read_text())
    assert owners["options"]["clients"] == 3
    assert result.final["student/test/accuracy"] is not None


def test_teachers_adapt_to_a_target_and_without_weight_do_not(tmp_path: Path) -> None:
    small = ("data.per_source=100", "data.test_samples=200", "proxy.size=60", "data.samples=null")
    runs = {
        name: fedkd.run(*QUICK, *options, *small, output=tmp_path / name)
        for name, options in {
            "adapted": ("method=adaptation_adversarial", "method.client.weight=1"),
            "watched": ("method=adaptation_adversarial", "method.client.weight=0"),
            "plain": ("method=adaptation", "method.weighting=uniform"),
        }.items()
    }
    adapted, watched, plain = ((run.folder / METRICS).read_bytes() for run in runs.values())
    assert watched == plain
    assert adapted != plain
    # A discriminator stays where it is: what crosses is the network.
    assert runs["adapted"].summary["payload_up"] == runs["plain"].summary["payload_up"]
    assert runs["adapted"].summary["bytes_once"] == 60 * (4 * 16 * 16 + 8)


def test_teachers_send_their_networks_once_and_are_sent_nothing(tmp_path: Path) -> None:
    summary = fedkd.run(*QUICK, "method=ban", "model.hidden=[8]", output=tmp_path / "run").summary
    assert summary["rounds"] == 4
    assert summary["payload_up"] == 4 * (64 * 8 + 8 + 8 * 10 + 10)
    assert summary["payload_down"] == 0


def test_both_engines_give_the_same_teachers(tmp_path: Path) -> None:
    finals = [
        fedkd.run(*QUICK, "method=aver", "model=mlp", f"engine={engine}", output=tmp_path / engine).final
        for engine in ("vectorised", "sequential")
    ]
    for key in ("student/test/loss", "ensemble_weighted/test/loss", "clients_worst/test/loss"):
        assert finals[0][key] == pytest.approx(finals[1][key], rel=1e-3)


@pytest.mark.parametrize("method", GENERATIONS)
def test_a_run_that_was_stopped_between_generations_goes_on_to_the_same_bytes(
    method: str, tmp_path: Path
) -> None:
    given = (*QUICK, f"method={method}")
    whole = fedkd.run(*given, output=tmp_path / "whole").folder
    folder = start_folder(Experiment.from_config(compose([*given, f"output={tmp_path}/stopped"])))
    for watcher in (Stopper(), Silent()):
        with (
            contextlib.suppress(Stopped),
            InlineGrid(client_app, 1, {CONFIG: json.dumps(folder.config())}) as grid,
        ):
            serve(folder, grid, watcher)
    assert (folder.path / METRICS).read_bytes() == (whole / METRICS).read_bytes()


def test_layers_of_teachers_of_any_architecture_teach_the_student(tmp_path: Path) -> None:
    terms = "method.distiller.terms=[kd,{name: hint, weight: 0.1},{name: vid, weight: 0.1}]"
    plain = ("method.distiller.temperature=1", "method.distiller.label_weight=0")
    result = fedkd.run(*QUICK, "method=aver", terms, *plain, output=tmp_path / "run")
    assert result.final["student/test/accuracy"] is not None


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (("method=takd", "rounds=2"), InvalidOption, "at least 3"),
        (("method=ban", "method.client=supervised"), IllegalCombination, "method.client=teacher"),
        (("method=kd", "method.strategy.ensemble=true"), IllegalCombination, "generations=true"),
        (("method=takd", "method.strategy.assistants=[mpl]"), InvalidOption, "assistants.0.name"),
        (
            ("method=feddf", "method.distiller.terms=[amtml]"),
            IllegalCombination,
            "method.strategy=offline_distillation",
        ),
    ],
)
def test_what_cannot_work_is_refused_beforehand(
    overrides: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Experiment.from_config(compose(["runtime=inline", *overrides]))


@pytest.mark.parametrize(
    ("method", "most"), [("aver", 0.25), ("ca_mkd", 0.15), ("aekd", 1.0), ("amtml", 1.0)]
)
def test_a_run_records_how_much_each_teacher_counted(method: str, most: float, tmp_path: Path) -> None:
    """Also where a term of the distiller weighs them itself; one of four is sure and wrong, which CA-MKD sees by the labels."""
    result = fedkd.run(*QUICK, f"method={method}", "method.client.fit.epochs=8", output=tmp_path / "run")
    own = fedkd.load_runs(str(result.folder)).query("metric == 'weight'").set_index("client")["value"]
    assert list(own.index) == [0, 1, 2, 3]
    assert own.sum() == pytest.approx(1.0)
    assert own[3] <= most + 1e-9
    assert (own.max() == own.min()) == (method == "aver")


def test_teachers_that_are_softened_before_their_mean_withstand_one_that_is_sure_and_wrong(
    tmp_path: Path,
) -> None:
    """Softening the mean in place of the teachers lets a quarter of the weight stand beside the rest."""
    given = (
        "runtime=inline",
        "threads=1",
        "data.samples=600",
        "method.distiller.fit.epochs=20",
        "method=aver",
    )
    softened, late = (
        fedkd.run(*given, f"method.fusion.temperature={t}", output=tmp_path / str(t)).final
        for t in (4.0, 1.0)
    )
    assert softened["student/test/accuracy"] > late["student/test/accuracy"] + 0.02  # type: ignore[operator]


def test_teachers_can_come_from_run_folders_and_files_and_stay_as_they_are(tmp_path: Path) -> None:
    before = fedkd.run(
        *QUICK[:-1], "method=pooled", "clients=2", "rounds=2", "model.hidden=[8]", output=tmp_path / "before"
    )
    weights = weights_in(str(before.folder), key="here")
    safetensors.torch.save_file(dict(weights), tmp_path / "other.safetensors")
    places = f"method.strategy.checkpoints=['{before.folder}','{tmp_path}/other.safetensors']"
    given = (*QUICK, "method=kd", "clients=2", "model.hidden=[8]", "method.client.fit.epochs=0", places)
    result = fedkd.run(*given, output=tmp_path / "run")
    assert result.final["clients_worst/test/accuracy"] == before.final["student/test/accuracy"]
    assert result.final["clients_mean/test/accuracy"] == pytest.approx(before.final["student/test/accuracy"])
    assert result.summary["payload_down"] == result.summary["payload_up"] == 2 * 4 * (64 * 8 + 8 + 80 + 10)
    assert (
        result.summary["payload_down"]
        == estimate_of(Experiment.from_config(compose(list(given)))).payload_down
    )
