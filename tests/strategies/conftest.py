"""Grids on which strategies are tried: real Flower messages, with clients that say what a test wants."""

import random
from collections.abc import Callable, Iterable, Mapping

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedkd import engine
from fedkd.engine import ClientSide
from fedkd.runtime.grid import LocalGrid
from fedkd.runtime.inline import InlineGrid
from fedkd.strategies import Federated

Say = Callable[[int, RecordDict], RecordDict]


class ScatteredGrid(InlineGrid):
    """Nodes have ids drawn at random, replies come in any order, and only the nodes know which partition they hold."""

    partitions = None  # type: ignore[assignment]  # it does not know its partitions, as Flower's own grid does not

    def __init__(self, app: ClientApp, num_clients: int, seed: int) -> None:
        super().__init__(app, num_clients, {})
        self._chance = random.Random(seed)
        inner = list(LocalGrid.get_node_ids(self))
        self._inner = dict(zip(self._chance.sample(range(10**6, 10**9), num_clients), inner, strict=True))
        self._outer = {node: name for name, node in self._inner.items()}

    def get_node_ids(self) -> Iterable[int]:
        nodes = list(self._inner)
        self._chance.shuffle(nodes)
        return nodes

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        sent = list(messages)
        for message in sent:
            message.metadata.dst_node_id = self._inner[message.metadata.dst_node_id]
        replies = list(super().send_and_receive(sent, timeout=timeout))
        for reply in replies:
            reply.metadata._src_node_id = self._outer[reply.metadata.src_node_id]
        self._chance.shuffle(replies)
        return replies


def _app(
    train: Callable[[int, Message, Context], RecordDict],
    evaluate: Callable[[int, Message, Context], RecordDict],
) -> ClientApp:
    app = ClientApp()

    @app.train()
    def on_train(message: Message, context: Context) -> Message:
        return Message(train(int(context.node_config["partition-id"]), message, context), reply_to=message)

    @app.evaluate()
    def on_evaluate(message: Message, context: Context) -> Message:
        return Message(evaluate(int(context.node_config["partition-id"]), message, context), reply_to=message)

    @app.query()
    def on_query(message: Message, context: Context) -> Message:
        told = ConfigRecord({"partition-id": context.node_config["partition-id"]})
        return Message(RecordDict({"config": told}), reply_to=message)

    return app


@pytest.fixture
def grid_saying() -> Callable[..., Grid]:
    """Return a maker of grids whose clients train by saying `say(partition, content)`."""

    def make(say: Say, num_clients: int, scattered: int | None = None) -> Grid:
        app = _app(lambda client, message, _: say(client, message.content), lambda *_: RecordDict())
        return (
            InlineGrid(app, num_clients, {})
            if scattered is None
            else ScatteredGrid(app, num_clients, scattered)
        )

    return make


@pytest.fixture
def grid_of() -> Callable[..., Grid]:
    """Return a maker of grids whose clients are those of a client side."""

    def make(side: ClientSide, scattered: int | None = None) -> Grid:
        app = _app(
            lambda client, message, context: engine.train(side, client, message.content, context.state),
            lambda client, message, context: engine.evaluate(side, client, message.content, context.state),
        )
        clients = len(side.data.assignments)
        return InlineGrid(app, clients, {}) if scattered is None else ScatteredGrid(app, clients, scattered)

    return make


class Play:
    """Plays rounds of a strategy on a grid, and shows what crosses."""

    def __init__(self, strategy: Federated, grid: Grid, arrays: ArrayRecord | None = None) -> None:
        self.strategy, self.grid = strategy, grid
        self.arrays = ArrayRecord() if arrays is None else arrays
        self.metrics: MetricRecord | None = None
        self.rounds = 0
        self.down: Mapping[int, RecordDict] = {}
        self.up: Mapping[int, RecordDict] = {}

    def round(self) -> "Play":
        """Play one round."""
        self.rounds += 1
        messages = list(self.strategy.configure_train(self.rounds, self.arrays, ConfigRecord(), self.grid))
        self.down = {
            self.strategy.client_of(message.metadata.dst_node_id): message.content for message in messages
        }
        replies = list(self.grid.send_and_receive(messages))
        self.up = {
            self.strategy.client_of(reply.metadata.src_node_id): reply.content
            for reply in replies
            if reply.has_content()
        }
        arrays, self.metrics = self.strategy.aggregate_train(self.rounds, replies)
        self.arrays = self.arrays if arrays is None else arrays
        return self


@pytest.fixture
def play() -> type[Play]:
    """Return the class that plays rounds."""
    return Play
