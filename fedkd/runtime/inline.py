"""The inline grid: every cohort in this process, one after the other. For a debugger, for tests, for small runs."""

from collections.abc import Iterator

from fedkd.runtime.calls import perform
from fedkd.runtime.grid import Done, Job, LocalGrid


class InlineGrid(LocalGrid):
    """Runs the client app here."""

    def carry_out(self, cohorts: list[list[Job]], timeout: float | None) -> Iterator[Done]:
        """Do one cohort after the other; there is nobody who could cut one off."""
        del timeout
        for cohort in cohorts:
            calls = [job.call() for job in cohort]
            answers = perform(self.app, calls, self.num_clients, self.run_config)
            yield from (job.done(answer) for job, answer in zip(cohort, answers, strict=True))
