"""The garbage collector need not look again and again at what lives as long as the process: a million objects of modules and data."""

import contextlib
import gc
from collections.abc import Iterator

from fedkd.foundation.allocation import give_back_freed_memory

_WITHIN: list[None] = []
"""One for each `old_objects_frozen` that is open, in whatever thread: the collector is the process's."""


@contextlib.contextmanager
def old_objects_frozen() -> Iterator[None]:
    """Let the collector look only at what is made from here on; inside another such block, this does nothing.

    Whoever has frozen the old objects of a process already keeps them frozen, after the block too. Free memory goes back to the system first: dealing data to very many clients leaves much of it, which glibc would keep.
    """
    if _WITHIN:
        yield
        return
    _WITHIN.append(None)
    try:
        gc.collect()
        give_back_freed_memory()
        frozen = gc.get_freeze_count() > 0
        if not frozen:
            gc.freeze()
        try:
            yield
        finally:
            if not frozen:
                gc.unfreeze()
    finally:
        _WITHIN.pop()
