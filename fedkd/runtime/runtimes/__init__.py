"""Runtimes: who carries the clients. One module per runtime, chosen with `runtime=NAME`."""

from fedkd.foundation.registry import Family

RUNTIMES = Family("runtime", "fedkd.runtime.runtimes", "Runtime", "fedkd.runtimes")
