"""Cohorts of clients over Ray actors: this machine or a cluster, CPUs or GPUs."""

from dataclasses import dataclass
from pickle import PicklingError

from fedkd.foundation.errors import RuntimeUnavailable
from fedkd.foundation.options import Count, NonNegative
from fedkd.runtime.runtimes.base import Federation, Runtime


@dataclass(frozen=True, kw_only=True)
class Ray(Runtime):
    """Ray actors carry the clients, in cohorts as the engine groups them; an actor has one cohort after the other."""

    num_actors: Count | None = None
    """Worker processes; none takes one per CPU, or as many as the GPUs have room for."""

    num_gpus: NonNegative = 0.0
    """Share of a GPU for each actor; 0 trains on CPUs, 0.25 lets four actors share one GPU."""

    address: str | None = None
    """Address of a running Ray cluster (`auto`, `HOST:PORT` or `ray://HOST:PORT`); none starts Ray on this machine."""

    @property
    def device(self) -> str:
        """Where clients train: a GPU if each actor has a share of one."""
        return "cuda" if self.num_gpus else "cpu"

    def execute(self, federation: Federation) -> None:
        """Run the server app here and the client app in actors.

        Raises:
            RuntimeUnavailable: Ray is not installed, cannot be started or reached, or has no room; or the client app cannot
                be sent to its workers.
        """
        try:
            from fedkd.runtime.ray_grid import RayGrid
        except ImportError as error:
            raise RuntimeUnavailable(
                f"runtime=ray needs Ray, which cannot be imported ({error}); install it with `pip install 'flwr[simulation]'`, "
                "or take runtime=inline"
            ) from error
        try:
            grid = RayGrid(
                federation.client,
                federation.num_clients,
                federation.run_config,
                num_actors=self.num_actors,
                num_gpus=self.num_gpus,
                address=self.address,
                log=federation.say,
            )
        except (PicklingError, TypeError) as error:
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            raise RuntimeUnavailable(
                f"the client app cannot be sent to Ray's workers ({reason}); define it in a module that "
                "workers can import, make in its functions what cannot be pickled, or take runtime=inline"
            ) from error
        with grid:
            federation.serve(grid)
