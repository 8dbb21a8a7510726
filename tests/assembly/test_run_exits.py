"""Online and self-distillation as runs: they train, they are refused where they cannot, and a network is its own control."""

from collections.abc import Callable
from pathlib import Path

import pytest

import fedkd
from fedkd.foundation.errors import IllegalCombination

SMALL = (
    "data=digits",
    "data.samples=300",
    "partition=iid",
    "proxy=none",
    "clients=2",
    "rounds=2",
    "runtime=inline",
    "seed=1",
)
METHODS = {
    "dml": ("model=peers",),
    "kdcl": ("model=peers", "model.of=[mlp,logistic]"),
    "one": ("model=branches",),
    "pcl": ("model=peer_branches",),
    "byot": ("model=early_exits",),
    "tf_kd": (),
    "ps_kd": (),
}
Run = Callable[..., fedkd.Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run something small, without its pictures."""
    monkeypatch.setattr("fedkd.assembly.run._draw", lambda _: None)

    def run(*overrides: str) -> fedkd.Result:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return fedkd.run(*SMALL, "method.client.fit.epochs=8", *overrides, output=folder)

    return run


@pytest.mark.parametrize("method", METHODS)
def test_online_and_self_distillation_run_over_clients_and_end_with_a_student_that_knows_something(
    method: str, run: Run
) -> None:
    final = run(f"method={method}", *METHODS[method]).final
    assert (final["student/test/accuracy"] or 0) > 0.2  # chance is 0.1


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("method=dml", "model=mlp"), "model=mlp answers at one place.*model=peers"),
        (("method=byot", "model=peers"), "model=peers does not say what its exits see.*early_exits"),
        (("method=pcl", "model=branches"), "model=branches holds no running means.*model=peer_branches"),
    ],
)
def test_networks_with_too_few_exits_are_refused_with_a_way_out(
    overrides: tuple[str, ...], said: str, run: Run
) -> None:
    with pytest.raises(IllegalCombination, match=said):
        run(*overrides)


def test_past_answers_change_nothing_in_the_first_round(run: Run) -> None:
    past, plain = (
        run("method=ps_kd", "rounds=1", f"method.client.alpha={alpha}").final for alpha in (0.9, 0.0)
    )
    assert past == plain
