"""Running any Flower app on fedkd's grids: nothing about the app has to know of fedkd.

>>> simulate(server_app, client_app, num_clients=100, runtime="ray", num_actors=2)
"""

from collections.abc import Callable, Mapping

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.runtime.app_grid import AppGrid
from fedkd.runtime.grid import LocalGrid
from fedkd.runtime.runtimes.base import Federation
from fedkd.runtime.runtimes.inline import Inline
from fedkd.runtime.runtimes.ray import Ray
from fedkd.runtime.values import Value


def simulate(
    server_app: ServerApp,
    client_app: ClientApp,
    num_clients: int,
    *,
    runtime: str = "ray",
    num_actors: int | None = None,
    num_gpus: float = 0.0,
    address: str | None = None,
    run_config: Mapping[str, Value] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a Flower app with so many clients until its server app returns.

    Node i holds `partition-id` i and `num-partitions` in its node config; what clients put into `Context.state` stays for the
    next message. Replies come in the order of the messages that were sent, whatever worker was first, so an app that uses no
    randomness of its own gives the same result on any number of actors.

    Args:
        server_app: the server side.
        client_app: the client side; with `ray` it must be picklable by cloudpickle, as Flower's own simulation asks too.
        num_clients: how many nodes there are.
        runtime: `ray`, or `inline` for this process.
        num_actors: worker processes of Ray; none takes one per CPU.
        num_gpus: share of a GPU for each actor.
        address: address of a running Ray cluster; none starts Ray on this machine.
        run_config: what both apps find in `Context.run_config`.
        say: told what goes wrong and is mended.

    Raises:
        InvalidOption: fewer than one client, or another runtime.
        RuntimeUnavailable: Ray is not installed, cannot be started or reached, or has no room; or the client app cannot be sent to
            its workers.
    """
    if num_clients < 1:
        raise InvalidOption("num_clients", num_clients, "a whole number of at least 1")
    if runtime not in {"inline", "ray"}:
        raise InvalidOption("runtime", runtime, "inline or ray", nearest(runtime, ("inline", "ray")))
    carrier = (
        Inline() if runtime == "inline" else Ray(num_actors=num_actors, num_gpus=num_gpus, address=address)
    )
    carrier.execute(
        Federation(
            server=_on_app_grid(server_app),
            client=client_app,
            num_clients=num_clients,
            run_config=dict(run_config or {}),
            say=say,
            note=say,
        )
    )


def _on_app_grid(server_app: ServerApp) -> ServerApp:
    """Return a server app that runs another on a grid that behaves like Flower's."""
    outer = ServerApp()

    @outer.main()
    def main(grid: Grid, context: Context) -> None:
        assert isinstance(grid, LocalGrid)
        server_app(AppGrid(grid), context)

    return outer
