"""The cost that is announced is the cost that is recorded."""

import pytest

import fedkd
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import estimate_of

SMALL = ("runtime=inline", "clients=3", "rounds=3", "partition=iid", "data.samples=200", "proxy.size=40")


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=fd", "method.codec=float16"),
        ("method=fd", "method.codec=int8", "method.codec_down=bfloat16"),
        ("method=dsfl", "method.codec=constrained", "method.codec_down=top_k"),
        ("method=dsfl", "clients_per_round=2", "method.strategy.samples_per_round=10"),
        ("method=fedmd", "model=mixed", "method.codec=float16"),
        ("method=mhat", "model=mixed"),
        ("method=fedmd", "data=diabetes", "proxy.size=50", "model=logistic"),
        ("method=feddf", "model=mixed", "proxy.labelled=false"),
        ("method=fedavg", "model=logistic", "clients_per_round=2"),
        ("method=fedntd", "model=logistic"),
        ("method=fml", "model=mixed", "student=mlp", "student.hidden=[8]", "clients_per_round=2"),
        ("method=kt_pfl", "model=mixed", "clients_per_round=2", "method.strategy.samples_per_round=10"),
        ("method=fedcad", "model=logistic", "clients_per_round=2"),
        ("method=fedssd", "model=logistic", "clients_per_round=2"),
        ("method=fedgen", "model=mlp", "clients_per_round=2", "method.strategy.steps=5"),
        ("method=fedbe", "model=logistic", "clients_per_round=2"),
        ("method=fedgkd", "model=logistic", "clients_per_round=2"),
        ("method=fedftg", "model=logistic", "clients_per_round=2", "method.strategy.batches=1"),
        ("method=dense", "model=mixed", "method.strategy.batches=1"),
        ("method=fedaux", "model=mixed", "proxy.labelled=false"),
        ("method=cronus", "model=mixed", "method.codec=float16"),
        ("method=feddf", "method.weighting=class_counts", "model=logistic"),
        ("method=dsfl", "method.weighting=domain_classifier", "method.strategy.samples_per_round=10"),
        ("method=fedmd", "method.weighting.name=accuracy", "method.weighting.on=holdout"),
        ("method=pooled", "model=logistic"),
        ("method=local", "model=logistic"),
        ("method=aver", "model=logistic", "clients_per_round=2"),
        ("method=ban", "model=logistic"),
    ],
    ids=" ".join,
)
def test_bytes_are_those_of_the_ledger(overrides: tuple[str, ...], tmp_path: object) -> None:
    given = (*SMALL, *overrides, f"output={tmp_path}/run", "evaluate_every=3")
    estimate = estimate_of(Experiment.from_config(compose(given)))
    summary = fedkd.run(*given).summary
    assert estimate.exact
    assert estimate.payload_up == summary["payload_up"]
    assert estimate.payload_down == summary["payload_down"]
    assert estimate.once == summary["bytes_once"]


@pytest.mark.parametrize(
    ("method", "up", "down"),
    [
        ("cfd", 1 + 5 + 20, 40 * 10 * 4),
        ("fedgems", 40 * 10 * 4, 40 * 10 * 4),
        ("fedproto", 10 * 64 * 4, 10 * 64 * 4),
    ],
)
def test_where_bytes_depend_on_what_is_said_the_estimate_is_the_most_that_can_be(
    method: str, up: int, down: int, tmp_path: object
) -> None:
    given = (f"method={method}", *SMALL, "partition=classes", f"output={tmp_path}/run", "evaluate_every=3")
    estimate = estimate_of(Experiment.from_config(compose(given)))
    summary = fedkd.run(*given).summary
    assert not estimate.exact
    assert estimate.payload_up == 3 * 3 * up
    assert estimate.payload_up > summary["payload_up"]
    assert estimate.payload_down == 2 * 3 * down == summary["payload_down"]


def test_updates_of_weights_take_as_many_bytes_as_the_weights_at_most(tmp_path: object) -> None:
    given = ("method=fedkd", "model=logistic", "method.codec.energy=0.5", *SMALL, f"output={tmp_path}/run")
    estimate = estimate_of(Experiment.from_config(compose(given)))
    summary = fedkd.run(*given).summary
    assert not estimate.exact
    assert estimate.payload_up == estimate.payload_down == 3 * 3 * 4 * 650
    assert 0 < summary["payload_up"] < 0.6 * estimate.payload_up
    assert 3 * 4 * 650 < summary["payload_down"] < 0.7 * estimate.payload_down


def test_steps_follow_from_sizes_epochs_and_batches() -> None:
    fit = "{epochs:2,batch_size:10}"
    given = [
        "method=dsfl",
        *SMALL,
        "partition.holdout=0",
        f"method.client.fit={fit}",
        f"method.client.digest={fit}",
        f"method.distiller.fit={fit}",
    ]
    estimate = estimate_of(Experiment.from_config(compose(given)))
    own, proxy = 2 * 6, 2 * 4  # 160 samples over three clients; 40 of the proxy set
    assert estimate.client_steps == 3 * own + 2 * 3 * (own + proxy)
    assert estimate.student_steps == 3 * proxy
    assert estimate.updates == 9


def test_networks_are_counted_by_architecture() -> None:
    estimate = estimate_of(Experiment.from_config(compose(["method=fd", "model=mixed"])))
    weights = 64 * 64 + 64 * 64 + 64 * 10
    assert estimate.networks == {"mlp": (weights + 64 + 64 + 10, 2 * weights), "logistic": (650, 2 * 640)}
    assert estimate.student is None


def test_a_student_of_its_own_is_counted_beside_its_teachers() -> None:
    estimate = estimate_of(Experiment.from_config(compose(["method=compression"])))
    assert estimate.student is not None
    assert estimate.student.parameters < estimate.networks["mlp"].parameters / 10
    assert estimate.student.flops == 2 * (64 * 16 + 16 * 10)


def test_an_unknown_kind_of_knowledge_has_no_estimate() -> None:
    experiment = Experiment.from_config(
        compose(["method=fd", "method.knowledge=fedkd.knowledge.kinds.class_means:ClassMeans"])
    )
    assert estimate_of(experiment).payload_up == 10 * 10 * 10 * 4 * 10
