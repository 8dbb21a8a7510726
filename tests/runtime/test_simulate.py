import importlib.util
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

import fedkd
from fedkd.foundation.errors import InvalidOption, RuntimeUnavailable

APP = Path(__file__).with_name("an_app_of_flower.py")


@pytest.fixture(scope="module")
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("an_app_of_flower", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def result(app: ModuleType, tmp_path: Path, name: str, **options: object) -> dict[str, np.ndarray]:
    path = tmp_path / f"{name}.npz"
    adam = bool(options.pop("adam", False))
    fedkd.simulate(
        app.server_app, app.client_app, 4, run_config={"result": str(path), "adam": adam}, **options
    )
    return dict(np.load(path))


@pytest.mark.parametrize("adam", [False, True])
def test_an_app_that_knows_nothing_of_fedkd_learns_and_keeps_its_state(
    app: ModuleType, tmp_path: Path, adam: bool
) -> None:
    said = result(app, tmp_path, "inline", runtime="inline", adam=adam)
    assert said["accuracy"][-1] > 0.7
    assert said["rounds"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.usefixtures("ray_instance")
def test_ray_gives_the_bytes_of_inline(app: ModuleType, tmp_path: Path) -> None:
    inline = result(app, tmp_path, "inline", runtime="inline")
    carried = result(app, tmp_path, "ray", runtime="ray", num_actors=2)
    assert carried.keys() == inline.keys()
    for name in inline:
        assert carried[name].tobytes() == inline[name].tobytes()


def test_what_cannot_be_simulated_is_refused(app: ModuleType) -> None:
    with pytest.raises(InvalidOption, match=r"num_clients: got 0"):
        fedkd.simulate(app.server_app, app.client_app, 0)
    with pytest.raises(InvalidOption, match=r"runtime: got 'rya'.*'ray'"):
        fedkd.simulate(app.server_app, app.client_app, 1, runtime="rya")


@pytest.mark.usefixtures("ray_instance")
def test_a_client_app_that_cannot_be_sent_to_workers_is_refused_with_what_to_do(app: ModuleType) -> None:
    lock, client_app = threading.Lock(), ClientApp()

    @client_app.train()
    def train(message: Message, context: Context) -> Message:
        del context
        with lock:
            return Message(RecordDict(), reply_to=message)

    with pytest.raises(
        RuntimeUnavailable,
        match=r"cannot be sent to Ray's workers \(cannot pickle .*lock.*\); define it in a module",
    ):
        fedkd.simulate(app.server_app, client_app, 1, num_actors=1)
