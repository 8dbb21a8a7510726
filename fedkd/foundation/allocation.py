"""How this process's C library keeps memory that was freed.

A training step allocates and frees the same few megabytes again and again. Left to itself, glibc hands what is freed at the end of its
heap back to the system and asks for it again in the next step, which then pays for every page.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt` (malloc.h)."""

_LARGEST = 32 * 2**20
"""What is larger is a mapping of its own, handed back at once: the upper bound to which glibc itself lets this threshold grow."""

_KEPT = 128 * 2**20
"""Free memory at the end of the heap that is kept."""


def keep_freed_memory() -> bool:
    """Let this process keep memory that it freed, up to 128 MiB, and return whether its C library can do so; only glibc can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))
