"""How many threads PyTorch works with: one while clients train or answer, those of the config for the server's own work.

The last bits of a result depend on how many threads summed it, but not on how busy they were. So the number never changes
within a piece of work, and a run's config says which it is.

>>> with threads(1):
...     answers = work()
"""

import contextlib
import os
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch work with so many threads in this context; the number before comes back after it.

    Switching costs less than a microsecond. As everywhere in PyTorch, the number is that of the calling thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_threads() -> int:
    """Return how many threads can work at a time: the physical cores that this process may use.

    Its affinity and its container's share count, and so does `OMP_NUM_THREADS`, the usual way to leave room for others.
    """
    import joblib  # a heavy import that is needed only where a config leaves the number open

    cores = int(joblib.cpu_count(only_physical_cores=True))
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, min(cores, int(limit))) if limit.isdigit() else cores
