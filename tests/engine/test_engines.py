from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.engine.calibration import remember
from fedkd.engine.engines.auto import Auto, vectorising_pays
from fedkd.engine.engines.base import Question, Work
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import LARGEST, Vectorised
from fedkd.foundation.errors import IllegalCombination, RunFolderError

WORKS = st.lists(st.builds(Work, st.sampled_from(["a", "b"]), st.integers(0, 100)), max_size=200)


@given(works=WORKS, size=st.sampled_from([None, 1, 7, 64]))
def test_every_client_is_in_one_cohort_of_its_architecture_with_clients_of_its_size(
    works: Sequence[Work], size: int | None
) -> None:
    cohorts = Vectorised(cohort_size=size).cohorts(works)
    assert sorted(position for cohort in cohorts for position in cohort) == list(range(len(works)))
    for cohort in cohorts:
        assert len({works[position].architecture for position in cohort}) == 1
        assert 0 < len(cohort) <= (size or LARGEST)
    for architecture in ("a", "b"):
        sizes = [works[p].size for c in cohorts for p in c if works[p].architecture == architecture]
        assert sizes == sorted(sizes, reverse=True)
    assert Sequential().cohorts(works) == [[position] for position in range(len(works))]


def question(network: nn.Module, device: str = "cpu", batch_size: int = 32) -> Question:
    return Question("someone", network, (1, 8, 8), batch_size, device)


@pytest.fixture(autouse=True)
def _no_verdicts(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))


def test_the_rule_vectorises_small_networks_of_linear_layers_and_nothing_that_cannot_be() -> None:
    small, large = nn.Linear(64, 10), nn.Linear(2000, 1000)
    assert vectorising_pays(question(small))
    assert not vectorising_pays(question(large))
    assert not vectorising_pays(question(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())))
    assert not vectorising_pays(question(nn.Sequential(small, nn.BatchNorm1d(10))))
    assert not vectorising_pays(question(nn.LSTM(8, 8)))


def test_a_measurement_on_this_machine_takes_the_place_of_the_rule_but_not_of_what_is_impossible() -> None:
    small = nn.Linear(64, 10)
    remember("someone", (1, 8, 8), 32, "cpu", vectorised=False)
    assert not vectorising_pays(question(small))
    assert vectorising_pays(question(small, batch_size=16))
    remember("someone", (1, 8, 8), 32, "cpu", vectorised=True)
    assert vectorising_pays(question(nn.Linear(2000, 1000)))
    assert not vectorising_pays(question(nn.BatchNorm1d(10)))


def test_verdicts_that_cannot_be_read_are_named(tmp_path: object) -> None:
    (tmp_path / "calibration.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"calibration.json.*fedkd calibrate"):
        vectorising_pays(question(nn.Linear(64, 10)))


def test_mixed_architectures_are_trained_each_in_its_own_way() -> None:
    chosen = Auto(cohort_size=5).chosen(
        [question(nn.Linear(4, 2)), Question("conv", nn.Conv2d(1, 4, 3), (1, 8, 8), 32, "cpu")]
    )
    assert chosen == Vectorised(cohort_size=5, one_by_one=("conv",))
    assert chosen.vectorises("someone")
    assert not chosen.vectorises("conv")


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["method=fedavg"], "vectorised"),
        (["method=fedavg", "model=lenet"], "sequential"),
        (["method=fedavg", "runtime=flower"], "sequential"),
        (["method=fedavg", "engine=sequential"], "sequential"),
        (["method=dsfl", "model=mixed", "model.shares={mlp: 1.0, lenet: 1.0}"], "vectorised"),
    ],
)
def test_what_auto_chose_stands_in_the_resolved_config_and_is_not_chosen_again(
    overrides: list[str], name: str
) -> None:
    experiment = Experiment.from_config(compose(overrides))
    assert experiment.resolved["engine"]["name"] == name
    again = Experiment.from_config(experiment.resolved)
    assert again.engine == experiment.engine
    assert again.resolved == experiment.resolved


def test_an_engine_that_cannot_be_had_is_refused_with_a_way_out() -> None:
    with pytest.raises(IllegalCombination, match=r"engine=vectorised: runtime=flower.*engine=sequential"):
        Experiment.from_config(compose(["engine=vectorised", "runtime=flower"]))


def test_bfloat16_learns_what_float32_learns_and_not_to_the_bit() -> None:
    import fedkd

    options = ("method=fedavg", "model=lenet", "runtime=inline", "rounds=4", "clients=3", "partition=iid")
    said = [
        fedkd.run(*options, f"engine.precision={precision}", output=None)
        for precision in ("float32", "bfloat16")
    ]
    first, second = (one.final["student/test/accuracy"] for one in said)
    assert first > 0.5
    assert abs(first - second) < 0.1
    assert said[0].final["student/test/loss"] != said[1].final["student/test/loss"]
    assert torch.get_default_dtype() == torch.float32
