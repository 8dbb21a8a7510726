import platform
import subprocess
import sys

import pytest

from fedkd.foundation.allocation import keep_freed_memory

PROGRAM = """
import ctypes
import sys
from fedkd.foundation.allocation import keep_freed_memory
from fedkd.runtime.ray_workers import Worker

libc = ctypes.CDLL(None)
NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES]

libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.mallinfo2.restype = [ctypes.c_void_p], Info
MEGABYTE = 2**20

def took_and_kept(size):
    before = libc.mallinfo2()
    block = libc.malloc(size)
    during = libc.mallinfo2()
    libc.free(block)
    return (during.hblkhd - before.hblkhd) // MEGABYTE, libc.mallinfo2().fordblks // MEGABYTE

print(*took_and_kept(31 * MEGABYTE))
{"keep_freed_memory": keep_freed_memory, "Worker": Worker}[sys.argv[1]]()
print(*took_and_kept(31 * MEGABYTE))
"""
GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.mark.parametrize("who", ["keep_freed_memory", "Worker"])
def test_memory_that_was_freed_stays_with_the_process_that_says_so(who: str) -> None:
    if not GLIBC:
        assert not keep_freed_memory()
        return
    done = subprocess.run([sys.executable, "-c", PROGRAM, who], capture_output=True, text=True, check=True)
    (mapped, _), (mapped_later, kept) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert mapped >= 31, "as a mapping of its own, which goes back to the system at once"
    assert mapped_later == 0
    assert kept >= 31
