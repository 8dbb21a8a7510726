"""Teachers and students that see different views, graph networks and graphs between clients, as recipes say it, at tiny size."""

from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import IllegalCombination, InvalidOption

INLINE = ("runtime=inline", "threads=1", "seed=1")
QUICK = (*INLINE, "method.client.fit.epochs=1", "method.distiller.fit.epochs=1")
VIEWS = (
    "data=mfeat",
    "data.samples=300",
    "model=mixed",
    "model.shares={pixels:1,zernike:1}",
    "model.models={pixels:{name:mlp,view:pixels,hidden:[8]},zernike:{name:mlp,view:zernike,hidden:[8]}}",
)


def test_a_student_learns_from_another_view_and_nothing_once_the_pairs_are_mixed_up(tmp_path: Path) -> None:
    given = (*INLINE, "method=cross_modal", "student.view=fourier", "method.distiller.fit.epochs=20")
    finals = {
        mixed: fedkd.run(*given, f"proxy.shuffled_views={mixed}", output=tmp_path / mixed).final
        for mixed in ("false", "true")
    }
    assert finals["false"]["clients_mean/test/accuracy"] == finals["true"]["clients_mean/test/accuracy"]
    assert finals["false"]["student/test/accuracy"] > 0.6
    assert finals["true"]["student/test/accuracy"] < 0.3


@pytest.mark.parametrize("method", ["cross_modal_fedmd", "feddf", "dsfl", "kt_pfl"])
def test_clients_that_see_different_views_teach_each_other(method: str, tmp_path: Path) -> None:
    plans = ("method.client.fit.epochs=1", "clients=4", "rounds=2", "proxy.size=40", "proxy.labelled=false")
    result = fedkd.run(*INLINE, f"method={method}", *VIEWS, *plans, output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert result.final["clients_worst/test/accuracy"] > 0.1


def test_a_carried_student_may_see_less_than_the_clients_do(tmp_path: Path) -> None:
    given = (
        "method=fml",
        "data=mfeat",
        "data.samples=300",
        "clients=2",
        "rounds=1",
        "proxy=none",
        "model.view=pixels",
        "student=logistic",
    )
    result = fedkd.run(*INLINE, *given, "student.view=morphology", output=tmp_path / "run")
    assert result.summary["payload_up"] == 4 * 2 * (6 * 10 + 10)


def test_a_graph_network_teaches_a_smaller_one_which_nodes_to_tell_apart(tmp_path: Path) -> None:
    result = fedkd.run(*QUICK, "method=g_crd", "method.distiller.fit.epochs=3", output=tmp_path / "run")
    assert result.summary["failures"] == 0
    assert result.final["student/test/accuracy"] > 0.1


@pytest.mark.parametrize("engine", ["vectorised", "sequential"])
def test_a_graph_network_teaches_an_mlp_by_the_graph(engine: str, tmp_path: Path) -> None:
    result = fedkd.run(
        *QUICK, "method=lsp", f"engine={engine}", "method.distiller.fit.epochs=3", output=tmp_path / "run"
    )
    assert result.summary["failures"] == 0
    assert result.final["clients_mean/test/accuracy"] > 0.3
    assert result.final["student/test/accuracy"] > 0.1


@pytest.mark.parametrize("method", ["fedavg", "fedmd", "feddf"])
def test_nodes_are_dealt_to_clients_that_train_graph_networks(method: str, tmp_path: Path) -> None:
    given = (
        "data=cora",
        "data.samples=300",
        "model=sign",
        "model.hidden=4",
        "clients=3",
        "rounds=1",
        "proxy.size=60",
    )
    finals = [
        fedkd.run(*INLINE, f"method={method}", *given, f"engine={engine}", output=tmp_path / engine).final
        for engine in ("vectorised", "sequential")
    ]
    for key in ("student/test/loss", "clients_mean/test/loss"):
        assert finals[0][key] == pytest.approx(finals[1][key], rel=1e-3)


@pytest.mark.parametrize("method", ["irg", "hkd"])
def test_relations_between_samples_are_learned(method: str, tmp_path: Path) -> None:
    result = fedkd.run(*QUICK, f"method={method}", "data.samples=200", output=tmp_path / "run")
    assert result.final["student/test/accuracy"] is not None


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (("method=cross_modal", "student.view=morfology"), InvalidOption, r"^student\.view: got 'morfology'.*did you mean 'morphology'"),
        (("method=cross_modal", "model.view=image"), InvalidOption, r"^model\.view: got 'image'.*pixels, fourier"),
        (("method=fedmd", *VIEWS, "model.models={pixels:{name:mlp,view:pixel},zernike:{name:mlp}}"), InvalidOption, r"^model\.models\.pixels\.view: got 'pixel'"),
        (("method=lsp", "method.distiller.terms=[{name:lsp,links:link}]"), InvalidOption, r"terms\.0=lsp\.links: got 'link'|terms\.0\.links: got 'link'"),
        (("method=fedmd", "method.client.terms=[{name:lsp,links:image}]"), IllegalCombination, "neither inputs nor true targets"),
        (("method=hkd", "proxy.labelled=false", "method.distiller.terms=[{name:hkd,labels:proxy}]"), IllegalCombination, r"terms\.0=hkd learns from true targets"),
        (("method=hkd", "data=diabetes", "method.fusion=mean_logits", "method.distiller.terms=[hkd]"), IllegalCombination, "hkd is about classes"),
        (("method=fedavg", "model=sign"), InvalidOption, r"^model\.view: got 'neighbourhood'"),
        (("method=kd", "proxy.shuffled_views=true"), IllegalCombination, "one view"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_beforehand(
    overrides: tuple[str, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Experiment.from_config(compose(["runtime=inline", *overrides]))
