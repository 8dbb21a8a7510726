import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import pytest

from fedkd.foundation.errors import RoundFailed
from fedkd.runtime.flower import AppRef, _write_app, run_with_flower, run_with_supernodes
from fedkd.runtime.flower_keeper import members
from fedkd.runtime.flower_processes import FlowerUnavailable

pytestmark = pytest.mark.xdist_group("flower-toys")
TOY = """
import json
import os
import time
from pathlib import Path

from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

server_app = ServerApp()
client_app = ClientApp()
failing_app = ServerApp()
waiting_app = ServerApp()


@client_app.train()
def train(message, context):
    seen = int(context.state["seen"]["rounds"]) + 1 if "seen" in context.state else 1
    context.state["seen"] = MetricRecord({"rounds": seen})
    partition = int(context.node_config["partition-id"])
    answer = MetricRecord({"partition": partition, "seen": seen, "pid": os.getpid()})
    return Message(RecordDict({"answer": answer}), reply_to=message)


@server_app.main()
def main(grid, context):
    while len(nodes := list(grid.get_node_ids())) < context.run_config["nodes"]:
        time.sleep(0.1)
    rounds = []
    for _ in range(2):
        messages = [Message(RecordDict(), message_type="train", dst_node_id=node) for node in nodes]
        replies = grid.send_and_receive(messages)
        rounds.append([dict(reply.content["answer"]) for reply in replies])
    print("the toy has run", flush=True)
    home = os.environ["FLWR_HOME"]
    told = {"rounds": rounds, "home": home, "server": os.getpid(), "config": dict(context.run_config)}
    Path(context.run_config["fedkd-folder"], "told.json").write_text(json.dumps(told))


@failing_app.main()
def fail(grid, context):
    raise ValueError("the toy fails on purpose")


@waiting_app.main()
def wait(grid, context):
    Path(context.run_config["fedkd-folder"], "home.txt").write_text(os.environ["FLWR_HOME"])
    time.sleep(600)
"""


@pytest.fixture
def toy(tmp_path: Path) -> AppRef:
    code = tmp_path / "code"
    code.mkdir()
    (code / "toy_app.py").write_text(TOY)
    return AppRef(server="toy_app:server_app", client="toy_app:client_app", code=code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'a run\'s "folder" = 1'
    folder.mkdir()
    return folder


def named(toy: AppRef, server: str) -> AppRef:
    return AppRef(server=f"toy_app:{server}", client=toy.client, code=toy.code)


def told_by_toy(folder: Path) -> dict:
    return json.loads((folder / "told.json").read_text())


def test_a_simulation_reaches_every_partition_each_round_and_leaves_no_process(
    toy: AppRef, folder: Path
) -> None:
    lines: list[str] = []
    run_with_flower(
        {"nodes": 3, "fedkd": "method=fd rounds=2"},
        folder,
        num_clients=3,
        num_actors=2,
        app=toy,
        on_line=lines.append,
    )
    told = told_by_toy(folder)
    assert [sorted(answer["partition"] for answer in answers) for answers in told["rounds"]] == [
        [0, 1, 2]
    ] * 2
    assert [{answer["seen"] for answer in answers} for answers in told["rounds"]] == [{1}, {2}]
    assert told["config"] == {"nodes": 3, "fedkd": "method=fd rounds=2", "fedkd-folder": str(folder)}
    assert "the toy has run" in lines
    assert not any("\x1b" in line for line in lines if "INFO" in line)
    assert members(Path(told["home"])) == []
    assert not Path(told["home"]).exists()


def test_two_supernodes_are_processes_of_their_own_and_keep_their_state(toy: AppRef, folder: Path) -> None:
    lines: list[str] = []
    run_with_supernodes({"nodes": 2}, folder, num_clients=2, app=toy, on_line=lines.append)
    told = told_by_toy(folder)
    assert [sorted(answer["partition"] for answer in answers) for answers in told["rounds"]] == [[0, 1]] * 2
    assert [{answer["seen"] for answer in answers} for answers in told["rounds"]] == [{1}, {2}]
    pids = {answer["pid"] for answers in told["rounds"] for answer in answers}
    assert len(pids) == 4  # one process for each message
    assert told["server"] not in pids
    assert "the toy has run" in lines
    assert members(Path(told["home"])) == []


def test_an_app_that_raises_fails_the_run_with_its_reason(toy: AppRef, folder: Path) -> None:
    with pytest.raises(RoundFailed, match="the toy fails on purpose"):
        run_with_supernodes({}, folder, num_clients=1, app=named(toy, "failing_app"))


def test_an_app_that_does_not_exist_is_named_before_anything_runs(toy: AppRef, folder: Path) -> None:
    with pytest.raises(FlowerUnavailable, match="Unable to find attribute absent_app in module toy_app"):
        run_with_supernodes({}, folder, num_clients=1, app=named(toy, "absent_app"))
    assert list(folder.iterdir()) == []


def test_killing_the_starter_ends_every_process_of_its_run_and_deletes_its_home(
    toy: AppRef, folder: Path
) -> None:
    script = textwrap.dedent(f"""
        from pathlib import Path
        from fedkd.runtime.flower import AppRef, run_with_flower

        app = AppRef(server="toy_app:waiting_app", client="toy_app:client_app", code=Path({str(toy.code)!r}))
        run_with_flower({{}}, Path({str(folder)!r}), num_clients=1, app=app)
    """)
    with subprocess.Popen([sys.executable, "-c", script]) as starter:
        note = folder / "home.txt"
        await_(lambda: (note.exists() and note.read_text()) or starter.poll() is not None)
        home = Path(note.read_text())
        assert len(members(home)) >= 4  # SuperLink, SuperExec, simulation and `flwr run`
        starter.send_signal(signal.SIGKILL)
    try:
        await_(lambda: not home.exists())
        assert members(home) == []
    finally:
        for pid in members(home):
            os.kill(pid, signal.SIGKILL)


def test_values_of_the_run_config_stand_in_the_bundle_unchanged(tmp_path: Path) -> None:
    values = {"words": "a='b' \"c\" \\d # é", "count": 3, "share": 0.5, "on": True, "dotted.key": 1}
    bundle = _write_app(tmp_path / "app", values, tmp_path / "run", AppRef())
    app = tomllib.loads((bundle / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    assert app["config"] == {"fedkd": "", **values, "fedkd-folder": str((tmp_path / "run").resolve())}
    assert app["components"]["serverapp"] == "fedkd.assembly.apps:server_app"


def await_(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
