"""The inline grid: every cohort in this process, one after the other. For a debugger, for tests, for small runs."""

from collections.abc import Iterator

from fedkd.runtime.grid import Done, Job, LocalGrid, perform


class InlineGrid(LocalGrid):
    """Runs the client app here."""

    def carry_out(self, cohorts: list[list[Job]], timeout: float | None) -> Iterator[Done]:
        """Do one cohort after the other; there is nobody who could cut one off."""
        del timeout
        for cohort in cohorts:
            yield from perform(self.app, cohort, self.num_clients, self.run_config)
