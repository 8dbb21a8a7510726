"""Fusions: how the outputs of many teachers become one target."""

from fedkd.foundation.registry import Family

FUSIONS = Family("fusion", "fedkd.aggregation.fusions", "Fusion", "fedkd.fusions")
