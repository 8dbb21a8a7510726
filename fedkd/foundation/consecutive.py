"""A mapping from numbers in a row to as many others in a row, such as clients and their nodes: a hundred thousand take no more room than one.

>>> nodes = Consecutive(range(100_000), 1000)
>>> nodes[7], nodes.inverse()[1007]
(1007, 7)
"""

from collections.abc import Iterator, Mapping


class Consecutive(Mapping[int, int]):
    """Maps each number of a range, in steps of one, to one that is so much larger.

    Args:
        numbers: what is mapped.
        first: what the first of them is mapped to.
    """

    def __init__(self, numbers: range, first: int) -> None:
        self.numbers, self._first = numbers, first

    def __getitem__(self, number: int) -> int:
        if number not in self.numbers:
            raise KeyError(number)
        return number - self.numbers.start + self._first

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def inverse(self) -> "Consecutive":
        """Return the mapping the other way."""
        return Consecutive(range(self._first, self._first + len(self)), self.numbers.start)
