"""Engines: how the clients of a process are trained. One module per engine, chosen with `engine=NAME`."""

from fedkd.foundation.registry import Family

ENGINES = Family("engine", "fedkd.engine.engines", "Engine", "fedkd.engines")
