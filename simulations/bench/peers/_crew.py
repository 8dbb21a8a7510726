"""Worker processes for raw loops: they live as long as the run, read from shared memory, and each sums over its clients.

>>> with crew(job, 2, make, down, up) as total:
...     total(0)  # the sum over the clients of the first round, of what `make(job)` returns for each process
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Barrier

import torch
from torch import Tensor

from simulations.bench.job import Job

Work = Callable[[Tensor, int, Sequence[int]], Tensor]
"""From what was sent down, the round and the places in its cohort to the sum of what these clients send up."""


@contextlib.contextmanager
def crew(
    job: Job, processes: int, make: Callable[[Job], Work], down: Tensor, up: Tensor
) -> Iterator[Callable[[int], Tensor]]:
    """Yield a function that does a round.

    Args:
        job: the work.
        processes: how many; 1 is this process alone.
        make: makes the work in each process.
        down: what clients start from; in shared memory, the caller changes it between rounds.
        up: a tensor of the shape and the precision of the sum.
    """
    if processes == 1:
        work = make(job)
        yield lambda turn: work(down, turn, range(len(job.material.participants[turn])))
        return
    totals = torch.zeros(processes, *up.shape, dtype=up.dtype).share_memory_()
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(processes + 1)
    workers = [
        context.Process(target=_live, args=(job, rank, make, down, totals, gate), daemon=True)
        for rank in range(processes)
    ]
    for worker in workers:
        worker.start()
    gate.wait()

    def total(turn: int) -> Tensor:
        del turn
        gate.wait()  # the round begins
        gate.wait()  # all sums are there
        return totals.sum(dim=0)

    yield total
    for worker in workers:
        worker.join()


def _live(
    job: Job, rank: int, make: Callable[[Job], Work], down: Tensor, totals: Tensor, gate: Barrier
) -> None:
    torch.set_num_threads(1)
    work = make(job)
    gate.wait()
    for turn in range(job.rounds):
        gate.wait()
        totals[rank] = work(down, turn, range(rank, len(job.material.participants[turn]), len(totals)))
        gate.wait()
