"""The inline grid: every client in this process, one after the other. For a debugger, for tests, for small runs."""

from collections.abc import Iterator, Mapping

from flwr.clientapp import ClientApp

from fedkd.runtime.grid import Done, Job, LocalGrid, Value, perform


class InlineGrid(LocalGrid):
    """Runs the client app here.

    Args:
        app: the client app.
        num_clients: how many partitions there are.
        run_config: what Flower's context holds as `run_config`.
    """

    def __init__(self, app: ClientApp, num_clients: int, run_config: Mapping[str, Value]) -> None:
        super().__init__(num_clients, run_config)
        self._app = app

    def carry_out(self, jobs: list[Job], timeout: float | None) -> Iterator[Done]:
        """Do one job after the other; there is nobody who could cut one off."""
        del timeout
        for job in jobs:
            yield perform(self._app, job, self.num_clients, self.run_config)
