"""Many teachers into one: how much each counts, and how their outputs become one target."""

from fedkd.aggregation.fusions import FUSIONS
from fedkd.aggregation.weightings import WEIGHTINGS

__all__ = ["FUSIONS", "WEIGHTINGS"]
