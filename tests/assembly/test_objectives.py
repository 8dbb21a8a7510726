"""Terms in recipes: reachable in one line, refused before anything starts where they cannot work, alike in both engines."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.foundation.errors import FedkdError
from fedkd.objectives import TERMS

MAPS = "student_layer: body.3, teacher_layer: body.3"
FEATURES = {
    "at": MAPS,
    "nst": MAPS,
    "factor_transfer": MAPS,
    "activation_boundary": MAPS,
    "fsp": "student_layers: [body.0, body.3], teacher_layers: [body.0, body.3]",
    "irg": "student_layers: [body.0, body.3], teacher_layers: [body.0, body.3], transitions: 0",
    "crd": "negatives: 20",
}
IMAGES = (
    "method=feddf",
    "data=digits",
    "model=lenet",
    "model.channels=[2,3]",
    "model.hidden=8",
    "runtime=inline",
)
APART = (*IMAGES, "method=amtml", "student=same")
NUMBERS = ("method=feddf", "data=diabetes", "model=mlp", "proxy=heldout", "runtime=inline")


def experiment(*overrides: str) -> Experiment:
    return Experiment.from_config(compose(list(overrides)))


@pytest.mark.parametrize("name", TERMS.names())
def test_every_term_is_reached_from_a_recipe_in_one_line(name: str) -> None:
    cls = TERMS.find(name, key="name")
    base = NUMBERS if cls.needs_numbers else APART if cls.together else IMAGES
    term = f"method.distiller.terms=[{{name: {name}, {FEATURES.get(name, 'weight: 0.5')}}}]"
    resolved = experiment(*base, term).resolved["method"]["distiller"]["terms"]
    assert [spec["name"] for spec in resolved] == [name]
    assert "schedule" in resolved[0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("method=dsfl", "method.distiller.terms=[hint]"),
            "method.distiller.terms.0=hint learns from layers of the teachers' networks",
        ),
        (
            (*IMAGES, "method.distiller.terms=[kd,{name: hint, student_layer: bdy.3}]"),
            "method.distiller.terms.1=hint: layer: got 'bdy.3'",
        ),
        (
            (*IMAGES, "method.distiller.terms=[at]"),
            "method.distiller.terms.0=at: at needs feature maps [batch, channels, height, width], a layer gives [2, 8]",
        ),
        (
            (*IMAGES, "method.distiller.terms=[{name: rrd, interesting: 9}]"),
            "terms.0=rrd: interesting: got 9",
        ),
        (
            (*IMAGES, "method.distiller.terms=[{name: darkrank, form: soft, length: 7}]"),
            "terms.0=darkrank: length: got 7, allowed is 1 to 6 samples with form=soft",
        ),
        (
            (*IMAGES, "method.distiller.terms=[{name: mimkd, global_weight: 0}]"),
            "terms.0=mimkd: mimkd has nothing to learn: these layers have shapes [8] and [8]",
        ),
        (
            (*NUMBERS, "method.distiller.terms=[dkd]"),
            "terms.0=dkd is about classes, data=diabetes is a regression",
        ),
        ((*IMAGES, "method.distiller.terms=[bounded_regression]"), "is about numbers, data=digits"),
        (
            (*IMAGES, "proxy.labelled=false", "method.distiller.terms=[{name: supervised, labels: proxy}]"),
            "terms.0=supervised learns from true targets, and this proxy set has none",
        ),
        (
            ("method=dsfl", "method.client.terms=[rrd]"),
            "method.client.terms.0=rrd: clients digest with terms",
        ),
        (
            ("method=dsfl", "method.client.terms=[cckd,crd]"),
            "method.client.terms.1=crd: clients digest with terms",
        ),
        (("method=dsfl", "method.client.terms=[{name: sp, student_layer: nowhere}]"), "layer: got 'nowhere'"),
        (("method=fedmd", "method.client.terms=[kd]"), "method.client.divergence has no effect"),
    ],
)
def test_terms_that_cannot_work_are_refused_by_their_place(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(FedkdError) as refusal:
        experiment("runtime=inline", *overrides)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        (
            "method=feddf",
            "method.distiller.terms=[kd,{name: hint, weight: 0.1},{name: rkd_distance, weight: 5}]",
        ),
        ("method=feddf", "method.distiller.terms=[{name: crd, negatives: 20, width: 8},dkd]"),
        ("method=dsfl", "method.distiller.terms=[jsd,{name: sp, schedule: {shape: linear}}]"),
    ],
)
def test_a_run_with_terms_gives_the_same_bytes_twice_and_others_than_without(
    small: tuple[str, ...],
    uninterrupted: Callable[..., Path],
    overrides: tuple[str, ...],
    tmp_path: Path,
) -> None:
    folders = [fedkd.run(*small, *overrides, output=tmp_path / name).folder for name in ("one", "two")]
    first, second = ((folder / "metrics.jsonl").read_bytes() for folder in folders)
    assert first == second
    assert first != (uninterrupted(overrides[0]) / "metrics.jsonl").read_bytes()


def test_clients_digest_with_terms_on_their_layers_alike_in_both_engines(
    small: tuple[str, ...], tmp_path: Path
) -> None:
    terms = "method.client.terms=[jsd,{name: sp, student_layer: body.0},{name: dist, weight: 0.5}]"
    values = {}
    for engine in ("sequential", "vectorised"):
        run = fedkd.run(*small, "method=dsfl", terms, f"engine={engine}", output=tmp_path / engine)
        frame = fedkd.load_runs(run.folder)
        values[engine] = frame.query("metric == 'loss'").set_index(["round", "scope", "client", "split"])[
            "value"
        ]
    assert values["sequential"].to_numpy() == pytest.approx(
        values["vectorised"].to_numpy(), rel=2e-3, nan_ok=True
    )
    plain = fedkd.run(*small, "method=dsfl", "engine=vectorised", output=tmp_path / "plain")
    others = fedkd.load_runs(plain.folder).query("metric == 'loss'")["value"].to_numpy()
    assert others != pytest.approx(values["vectorised"].to_numpy(), rel=2e-3, nan_ok=True)


def test_the_commands_of_the_documentation_can_be_given() -> None:
    text = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
    commands = [
        line.removeprefix("fedkd run ") for line in text.splitlines() if line.startswith("fedkd run ")
    ]
    assert len(commands) == 3
    for command in commands:
        assert experiment("data=digits", "runtime=inline", *shlex.split(command)).method.name in {
            "dsfl",
            "feddf",
        }
