import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.clients.supervised import Supervised
from fedkd.engine import ClientSide, Turn, handlers, train_together
from fedkd.engine.beginning import Begun
from fedkd.engine.calibration import remember
from fedkd.engine.engines.auto import Auto, vectorising_pays
from fedkd.engine.engines.base import Question, Work
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import LARGEST, Vectorised
from fedkd.engine.mail import CONFIG, Mail
from fedkd.engine.stages import Fitted, train_group
from fedkd.foundation.errors import IllegalCombination, RunFolderError
from fedkd.models.base import identity
from fedkd.training import Fit

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
    return Question("someone", network, (1, 8, 8), batch_size, device, "Supervised", 10)


def pays(network: nn.Module, batch_size: int = 32, **options: object) -> bool:
    return vectorising_pays(question(network, batch_size=batch_size), Vectorised(**options))


@pytest.fixture(autouse=True)
def _no_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDKD_CACHE", str(tmp_path))


def test_the_rule_vectorises_small_networks_of_linear_layers_and_nothing_that_cannot_be() -> None:
    small, large = nn.Linear(64, 10), nn.Linear(2000, 1000)
    assert pays(small)
    assert not pays(large)
    assert not pays(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()))
    assert not pays(nn.Sequential(small, nn.BatchNorm1d(10)))
    assert not pays(nn.LSTM(8, 8))


def test_a_measurement_on_this_machine_takes_the_place_of_the_rule_but_not_of_what_is_impossible() -> None:
    small = nn.Linear(64, 10)
    remember(question(small), Vectorised(), vectorised=False)
    assert not pays(small)
    remember(question(small), Vectorised(), vectorised=True)
    assert pays(nn.Linear(2000, 1000))
    assert not pays(nn.BatchNorm1d(10))


def test_a_measurement_holds_for_what_was_measured_alone() -> None:
    small = nn.Linear(64, 10)
    remember(question(small), Vectorised(), vectorised=False)
    assert pays(small, batch_size=16)
    assert pays(small, precision="bfloat16")
    assert pays(small, compile=True)
    assert pays(small, cohort_size=2)
    for other in ({"strategy": "FedGen"}, {"clients": 6}, {"shape": (64,)}):
        assert vectorising_pays(replace(question(small), **other), Vectorised())


def test_no_difference_is_no_verdict_and_takes_an_earlier_one_away(tmp_path: Path) -> None:
    small = question(nn.Linear(64, 10))
    remember(small, Vectorised(), vectorised=False)
    remember(small, Vectorised(), vectorised=None)
    assert vectorising_pays(small, Vectorised())
    assert json.loads((tmp_path / "calibration.json").read_text()) == {}


def test_verdicts_of_an_earlier_version_are_left_alone(tmp_path: Path) -> None:
    old = {"someone on [1, 8, 8], batches of 32, a processor, torch 2.0": False}
    (tmp_path / "calibration.json").write_text(json.dumps(old))
    assert pays(nn.Linear(64, 10))
    remember(question(nn.Linear(64, 10)), Vectorised(), vectorised=False)
    assert not pays(nn.Linear(64, 10))
    assert old.items() <= json.loads((tmp_path / "calibration.json").read_text()).items()


def test_verdicts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("[")
    with pytest.raises(RunFolderError, match=r"calibration.json.*fedkd calibrate"):
        pays(nn.Linear(64, 10))


def test_mixed_architectures_are_trained_each_in_its_own_way() -> None:
    chosen = Auto(cohort_size=5).chosen(
        [question(nn.Linear(4, 2)), replace(question(nn.Conv2d(1, 4, 3)), architecture="conv")]
    )
    assert chosen == Vectorised(cohort_size=5, one_by_one=("conv",))
    assert chosen.vectorises("someone")
    assert not chosen.vectorises("conv")


def test_an_architecture_that_is_named_is_trained_one_by_one(
    client_side: Callable[..., ClientSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []

    def counted(side: ClientSide, group: Sequence[Begun]) -> list[Fitted]:
        groups.append(len(group))
        return train_group(side, group)

    monkeypatch.setattr(handlers, "train_group", counted)
    side = client_side(Supervised(fit=Fit(epochs=1)))
    for alone in ((), (identity(side.models[0]),)):
        mail = Mail(RecordDict({CONFIG: ConfigRecord({"server-round": 1})}))
        turns = [Turn(client, mail, RecordDict()) for client in range(4)]
        train_together(replace(side, engine=Vectorised(one_by_one=alone)), turns)
    assert groups == [4]


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
