"""Methods on texts: each runs on tiny strings, mixes architectures where it may, and refuses what a text has not."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import estimate_of
from fedkd.foundation.errors import FedkdError, IllegalCombination, InvalidOption

TINY = (
    "data=grammar",
    "data.letters=3",
    "data.length=3",
    "partition=iid",
    "proxy.size=6",
    "clients=2",
    "rounds=2",
    "runtime=inline",
    "threads=1",
    "method.client.fit.epochs=1",
)
GRU = ("model=gru", "model.hidden=8")
MIXED = ("model=mixed", "model.shares={gru:1,transformer:1}", "model.models={gru:{name:gru,hidden:8}}")
RUNS: Mapping[str, tuple[str, ...]] = {
    "fedavg": GRU,
    "fedprox": GRU,
    "local": GRU,
    "pooled": GRU,
    "fedmd": MIXED,
    "feddf": (*MIXED, "method.distiller.fit.epochs=1"),
    "dsfl": ("model=transformer", "method.codec={name: entropy, of: delta}", "method.weighting=entropy"),
    "aver": ("rounds=1", "partition=shared", "partition.noise=0", "proxy=train", *MIXED, "student=gru"),
    "fedbe": (
        *GRU,
        "method.distiller.fit.epochs=1",
    ),
    "fedgkd": GRU,
    "fml": (*GRU, "student=gru", "student.hidden=4"),
}


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize("method", RUNS)
def test_a_method_runs_on_texts_and_reports_what_is_asked_of_them(method: str, tmp_path: Path) -> None:
    final = fedkd.run(*TINY, *RUNS[method], f"method={method}", output=tmp_path / "run").final
    scope = "clients_mean" if method == "local" else "student"
    for split in ("validation", "test"):
        bits, perplexity = (final[f"{scope}/{split}/{name}"] for name in ("bits_per_character", "perplexity"))
        assert perplexity == pytest.approx(2.0**bits, rel=0.2 if scope == "clients_mean" else 1e-6)
        assert 0.0 <= final[f"{scope}/{split}/exact_match"] <= final[f"{scope}/{split}/accuracy"] <= 1.0


def test_the_bytes_of_texts_are_known_beforehand_the_proxy_set_included(tmp_path: Path) -> None:
    options = (*TINY, *GRU, "method=fedmd", "method.client.pretrain.epochs=0", "method.distiller=null")
    estimate = estimate_of(Experiment.from_config(compose(list(options))))
    summary = fedkd.run(*options, output=tmp_path / "run").summary
    assert summary["payload_up"] == estimate.payload_up == 2 * 2 * 6 * 7 * 5 * 4, (
        "7 places, 5 symbols, 4 bytes"
    )
    assert summary["payload_down"] == estimate.payload_down
    assert summary["bytes_once"] == estimate.once


@pytest.mark.parametrize("method", ["sequence_kd", "feddf"])
def test_whole_continuations_are_learned_from_one_teacher_and_from_an_ensemble(
    method: str, tmp_path: Path
) -> None:
    own = (*GRU, "rounds=1", "clients=1", "baselines=all") if method == "sequence_kd" else MIXED
    options = (f"method={method}", "method.distiller.sequences.beam=2", "method.distiller.fit.epochs=2", *own)
    first, again = (fedkd.run(*TINY, *options, output=tmp_path / name).folder for name in ("first", "again"))
    assert (first / "metrics.jsonl").read_bytes() == (again / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("method=fd",), "about samples of one class, data=grammar is a generation"),
        (("method=fedproto",), "about samples of one class, data=grammar is a generation"),
        (("method=fedgen",), "about samples of one class, data=grammar is a generation"),
        (("method=fedgems",), "about samples of one class, data=grammar is a generation"),
        (
            ("method=feddf", "method.weighting=class_counts"),
            "about samples of one class, data=grammar is a generation",
        ),
        (
            ("method=feddf", "model=mlp", "model.hidden=[8]"),
            "model=mlp reads numbers.*take model=gru or model=transformer",
        ),
        (("method=fedmd", "method.distiller.sequences.beam=2"), "needs the teachers' networks"),
        (
            ("method=feddf", "method.distiller.sequences={beam: 2, prompt: 8}"),
            r"sequences\.prompt.*the 7 symbols",
        ),
        (("method=feddf", "partition=dirichlet"), "neither classes nor numbers"),
    ],
)
def test_what_cannot_work_on_texts_is_refused_in_one_line(options: tuple[str, ...], reason: str) -> None:
    with pytest.raises((IllegalCombination, InvalidOption), match=reason):
        Experiment.from_config(compose([*TINY[:5], "model=gru", *options]))


def test_classes_have_no_continuations() -> None:
    with pytest.raises(FedkdError, match="data=digits is a classification; take 0, or data=grammar"):
        Experiment.from_config(compose(["method=feddf", "method.distiller.sequences.beam=2"]))


@pytest.mark.parametrize(
    "line",
    ["method.fusion=era", "method.fusion=power", "method.fusion=median", "method.weighting=variance"],
)
def test_fusions_and_weightings_of_distributions_go_with_texts(line: str) -> None:
    experiment = Experiment.from_config(compose([*TINY, *GRU, "method=feddf", line]))
    assert line.rpartition("=")[2] in {experiment.named("fusion"), experiment.named("weighting")}
