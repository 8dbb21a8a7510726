"""What clients keep in Ray's object store, over many rounds in which other clients take part."""

from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedkd.knowledge.arrays import record_of
from fedkd.runtime.calls import FIRST_NODE
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.runtime.ray_grid import RayGrid
from fedkd.runtime.ray_states import SLACK, There

pytestmark = pytest.mark.usefixtures("ray_instance")
CLIENTS, WIDTH = 40, 1000


def keeping() -> ClientApp:
    """Make an app whose clients keep a large array and count their rounds in it."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        values = np.zeros(WIDTH) if "kept" not in context.state else context.state["kept"]["x"].numpy()
        context.state["kept"] = record_of({"x": values + 1.0})
        return Message(RecordDict({"said": MetricRecord({"rounds": float(values[0] + 1)})}), reply_to=message)

    return app


def test_states_follow_their_clients_and_what_is_out_of_date_is_given_back() -> None:
    generator = np.random.default_rng(0)
    counted = dict.fromkeys(range(CLIENTS), 0)
    with RayGrid(keeping(), CLIENTS, {}, num_actors=2) as grid:
        for _ in range(8):
            drawn = sorted(generator.choice(CLIENTS, size=12, replace=False).tolist())
            messages = [
                Message(RecordDict(), dst_node_id=FIRST_NODE + client, message_type="train")
                for client in drawn
            ]
            for reply in grid.send_and_receive(messages):
                client = reply.metadata.src_node_id - FIRST_NODE
                counted[client] += 1
                assert reply.content["said"]["rounds"] == counted[client]
            assert sorted(grid.take_changed_states()) == drawn
            alive = sum(1 for rounds in counted.values() if rounds)
            stored = sum(pack.num_bytes for pack in grid._packs._packs)
            assert stored <= SLACK * alive * WIDTH * 8
        before = {client: state.content()["kept"]["x"].numpy()[0] for client, state in grid._states.items()}
        assert before == {client: rounds for client, rounds in counted.items() if rounds}


def test_after_a_resume_states_lie_in_the_object_store_and_are_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedkd.runtime.ray_states._AT_ONCE", 16)
    given = {
        client: RecordDict({"kept": record_of({"x": np.full(WIDTH, float(client))})})
        for client in range(CLIENTS)
    }
    given[5] = RecordDict(
        {"last": MetricRecord({"loss": 0.5}), "kept": record_of({"x": np.arange(3), "s": np.array(2.0)})}
    )
    given[7] = RecordDict()
    saved = {client: serialise(state) for client, state in given.items()}
    held: list[int] = []

    def restored() -> Iterator[tuple[int, RecordDict]]:
        for client, data in saved.items():
            held.append(len(grid._packs._packs))
            yield client, deserialise(data)

    with RayGrid(keeping(), CLIENTS, {}, num_actors=2) as grid:
        for _ in range(2):  # what was loaded before is forgotten
            held.clear()
            grid.load_states(restored())
            assert all(isinstance(kept, There) for kept in grid._states.values())
            assert {client: serialise(kept.content()) for client, kept in grid._states.items()} == saved
            assert held == [client // 16 for client in range(CLIENTS)]  # packed as they come
            assert sum(pack.num_bytes for pack in grid._packs._packs) == (CLIENTS - 2) * WIDTH * 8 + 4 * 8
        assert grid.take_changed_states() == {}
        [reply] = grid.send_and_receive(
            [Message(RecordDict(), dst_node_id=FIRST_NODE + 3, message_type="train")]
        )
        assert reply.content["said"]["rounds"] == 4.0
        assert sorted(grid.take_changed_states()) == [3]
