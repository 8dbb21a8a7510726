"""What this process's C library does with memory that was freed: glibc can be told to keep it, or to give it back.

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
    """Let this process keep memory that it freed, up to 128 MiB, and return whether its C library can be told so; only glibc can."""
    return _called("mallopt", _MMAP_THRESHOLD, _LARGEST) and _called("mallopt", _TRIM_THRESHOLD, _KEPT)


def give_back_freed_memory() -> None:
    """Hand memory that was freed back to the system, where the C library can be told so."""
    _called("malloc_trim", 0)


def _called(name: str, *numbers: int) -> bool:
    """Return what a function of the C library answers, False if it has none of this name."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return False
    return bool(function(*numbers))
