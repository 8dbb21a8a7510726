"""Weightings: how much each teacher counts."""

from fedkd.foundation.registry import Family

WEIGHTINGS = Family("weighting", "fedkd.aggregation.weightings", "Weighting", "fedkd.weightings")
