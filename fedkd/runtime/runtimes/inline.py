"""Everything in this process, one client after the other: for a debugger, for tests, for small runs."""

from dataclasses import dataclass
from typing import ClassVar

from fedkd.runtime.inline import InlineGrid
from fedkd.runtime.runtimes.base import Federation, Runtime


@dataclass(frozen=True, kw_only=True)
class Inline(Runtime):
    """This process carries all clients; no Ray."""

    keeps_time: ClassVar[bool] = False

    def execute(self, federation: Federation) -> None:
        """Run both apps here."""
        with InlineGrid(federation.client, federation.num_clients, federation.run_config) as grid:
            federation.serve(grid)
