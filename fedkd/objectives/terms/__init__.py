"""The family of terms: one file each, named as the loss that it is."""

from fedkd.foundation.registry import Family

TERMS = Family("term", "fedkd.objectives.terms", "Term", entry_points="fedkd.terms")
