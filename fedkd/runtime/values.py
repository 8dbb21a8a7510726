"""What a value of Flower's run config may be."""

Value = bool | int | float | str
