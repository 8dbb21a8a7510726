"""Types of options: each states its range once, for validation, for error messages and for `fedkd list`."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
"""A whole number of things, at least one."""

Index = Annotated[int, Field(ge=0)]
"""A whole number, zero included."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number, zero included."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""Any number, of either sign."""

OpenFraction = Annotated[float, Field(ge=0, lt=1)]
"""A share of a whole that never is the whole."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a whole, from none to all of it."""
