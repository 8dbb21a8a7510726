"""What is common to attempts that take more memory than there is.

>>> out_of_memory(torch.OutOfMemoryError())
True
"""

import traceback

import torch


def out_of_memory(error: Exception) -> bool:
    """Return whether an exception says that a device or this machine has no memory for what was to be done."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # PyTorch has no class for it where a CPU's memory is meant.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def let_go(error: Exception) -> Exception:
    """Return an exception that no longer holds what was in the variables of the calls that it ended; it still says which they were."""
    traceback.clear_frames(error.__traceback__)
    return error
