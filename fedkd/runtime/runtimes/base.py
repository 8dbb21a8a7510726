"""What a runtime must say: how it runs a server app and a client app until the run is over."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedkd.foundation.parts import Part
from fedkd.runtime.flower_internals import RUN_ID, SERVER_NODE_ID
from fedkd.runtime.grid import LocalGrid
from fedkd.runtime.values import Value

FOLDER = "fedkd-folder"
"""Where the run config has the path of the run folder."""


@dataclass(frozen=True)
class Federation:
    """One Flower app that is to be run.

    Args:
        server: the server app.
        client: the client app.
        num_clients: how many partitions there are; each is a node.
        run_config: what both apps find in their context; under `FOLDER` the path of the run folder, if there is one.
        say: told what a user should know.
        note: told what belongs into the log alone.
    """

    server: ServerApp
    client: ClientApp
    num_clients: int
    run_config: Mapping[str, Value]
    say: Callable[[str], None]
    note: Callable[[str], None]

    def serve(self, grid: LocalGrid) -> None:
        """Run the server app on a grid of ours."""
        context = Context(
            run_id=RUN_ID,
            node_id=SERVER_NODE_ID,
            node_config={},
            state=RecordDict(),
            run_config=dict(self.run_config),
        )
        self.server(grid, context)


@dataclass(frozen=True, kw_only=True)
class Runtime(Part, ABC):
    """Who carries the clients."""

    keeps_client_states: ClassVar[bool] = True
    """Whether what clients keep between rounds is checkpointed; else a run of such clients starts over when it is resumed."""

    one_by_one: ClassVar[bool] = False
    """Whether the client app gets one client at a time, so that none can be trained together."""

    keeps_time: ClassVar[bool] = True
    """Whether clients that take longer than `client_timeout` are given up."""

    @property
    def device(self) -> str:
        """Where clients train."""
        return "cpu"

    @abstractmethod
    def execute(self, federation: Federation) -> None:
        """Run both apps until the server app returns, and end everything that was started."""
