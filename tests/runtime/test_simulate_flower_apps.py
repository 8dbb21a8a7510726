"""Apps written against Flower's documentation alone give under Flower's own engine what they give under ours."""

import importlib.util
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fedkd
from fedkd.runtime.flower import AppRef, run_with_flower

under_flower = pytest.mark.xdist_group("flower-apps")
APPS = Path(__file__).with_name("apps_of_flower")
Results = dict[str, dict[str, np.ndarray]]
Carry = Callable[[str, str], Results]
"""Runs an app, given by its module's name, in a way that has a name, and gives what its server app saved; once per pair."""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, APPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def carry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carry]:
    modules: dict[str, ModuleType] = {}
    known: dict[tuple[str, str], Results] = {}
    generators = random.getstate(), np.random.get_state()  # noqa: NPY002  (the apps seed them, as apps of Flower do)

    def run(name: str, way: str) -> Results:
        if (name, way) not in known:
            results = tmp_path_factory.mktemp(name)
            run_config = {"results": str(results), "word": "hello"}
            if way == "flower":
                app = AppRef(server=f"{name}:server_app", client=f"{name}:client_app", code=APPS)
                run_with_flower(run_config, results, num_clients=5, num_actors=1, app=app)
            else:
                app = modules.setdefault(name, load(name))
                runtime, _, actors = way.partition(" ")
                options = {"num_actors": int(actors)} if actors else {}
                fedkd.simulate(
                    app.server_app, app.client_app, 5, runtime=runtime, run_config=run_config, **options
                )
            known[name, way] = {
                path.stem: dict(np.load(path)) if path.suffix else {} for path in sorted(results.iterdir())
            }
        return known[name, way]

    yield run
    random.setstate(generators[0])
    np.random.set_state(generators[1])  # noqa: NPY002


def require_close(one: Results, other: Results, tolerance: float) -> None:
    """Compare what was saved; replies come to Flower's strategies in any order, so sums of floats may differ in last bits."""
    assert one.keys() == other.keys()
    for name, saved in one.items():
        assert saved.keys() == other[name].keys()
        for key, value in saved.items():
            if value.dtype.kind in "US":
                assert value.tolist() == other[name][key].tolist()
            else:
                np.testing.assert_allclose(
                    value, other[name][key], tolerance, tolerance, err_msg=f"{name}: {key}"
                )


def require_equal(one: Results, other: Results) -> None:
    assert one.keys() == other.keys()
    for name, saved in one.items():
        assert {key: value.tobytes() for key, value in saved.items()} == {
            key: value.tobytes() for key, value in other[name].items()
        }


@under_flower
def test_strategies_wrappers_mods_states_and_actions_do_what_they_do_under_flowers_engine(
    carry: Carry,
) -> None:
    require_close(carry("message_app", "inline"), carry("message_app", "flower"), 1e-5)


@under_flower
def test_krum_chooses_the_very_weights_that_it_chooses_under_flowers_engine(carry: Carry) -> None:
    ours, flowers = carry("message_app", "inline")["krum"], carry("message_app", "flower")["krum"]
    assert ours["weight"].tobytes() == flowers["weight"].tobytes()


@pytest.mark.usefixtures("ray_instance")
@pytest.mark.parametrize("actors", [1, 2])
def test_ray_gives_the_bytes_of_inline_whatever_the_strategy(carry: Carry, actors: int) -> None:
    require_equal(carry("message_app", f"ray {actors}"), carry("message_app", "inline"))


def test_every_strategy_of_the_app_learns_something_of_its_own(carry: Carry) -> None:
    said = carry("message_app", "inline")
    weights = {name: values["weight"].tobytes() for name, values in said.items() if "weight" in values}
    assert (
        weights.pop("dp_client") == weights["dp_server"]
    )  # the same clipping, whoever does it, and the same noise
    assert len(set(weights.values())) == len(weights) == 6
    assert said["fedavg"]["evaluate 2 accuracy"] > 0.6
    assert {"begun", "ended"} <= said.keys()


def test_what_clients_keep_is_whole_although_the_strategy_takes_replies_apart(carry: Carry) -> None:
    actions = carry("message_app", "inline")["actions"]
    assert actions["partitions"].tolist() == [0, 1, 2, 3, 4]
    assert actions["trained"].tolist() == [14.0] * 5  # seven strategies, two rounds each
    assert actions["clipped"].tolist() == [4.0] * 5
    assert actions["errors"].all()
    assert actions["kept before"].tolist() == ["clipped", "last", "trained"]
    assert actions["kept after"].tolist() == ["clipped", "last"]
    assert actions["answers known by number"]


def test_lists_that_clients_change_where_they_lie_are_their_own(carry: Carry) -> None:
    lists = carry("message_app", "inline")["lists"]
    assert (
        lists["said"].tolist() == [[2, 2]] * 4 + [[3, 2]] * 4
    )  # what is kept grows, what is sent comes anew
    assert lists["sent"].tolist() == [0]
    assert lists["kept"].tolist() == [0, 3, 3, 3, 3]  # one client failed, and has kept nothing


@under_flower
def test_an_app_of_numpy_clients_does_what_it_does_under_flowers_engine(carry: Carry) -> None:
    require_close(carry("numpy_app", "inline"), carry("numpy_app", "flower"), 1e-12)


@pytest.mark.usefixtures("ray_instance")
def test_ray_carries_numpy_clients_whose_messages_come_from_many_threads(carry: Carry) -> None:
    said = carry("numpy_app", "ray 2")
    require_close(said, carry("numpy_app", "inline"), 1e-12)
    assert said["round-2"]["accuracy"] > 0.6
    assert said["fit-1"]["fits"] == 2
