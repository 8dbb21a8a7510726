"""Sets of people: recognition of some who were never seen in training, or classification of those who were."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedkd.data.datasets.base import DataSet, Raw, Sizes, Split, Task
from fedkd.foundation.options import Count
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class Identities(DataSet):
    """Base of sets whose targets are people, who are also the owners of their samples."""

    unseen: bool = True
    "true: recognition; people are shared out between training, validation and test, and nobody is in two of them. false: classification; every person's samples are."

    embedding: Count = 32
    "For recognition: how many numbers a network says of a sample, whose direction tells who it is of."

    task: ClassVar[Task] = "recognition"
    people: ClassVar[int]
    "Number of people."
    each: ClassVar[int]
    "For recognition: samples of each person, so that sizes do not depend on who is drawn."

    def __post_init__(self) -> None:
        """Ask for classes where everybody is seen, else for embeddings."""
        if self.unseen:
            self.state(num_outputs=self.embedding, identities=self.people)
        else:
            self.state(task="classification")

    def whole(self) -> Sizes:
        """Return the size of each split; the shares are of people where they are split."""
        if not self.unseen:
            return super().whole()
        people = self._split_people()
        return Sizes(people.train * self.each, people.validation * self.each, people.test * self.each)

    def split(self, raw: Raw, streams: Streams) -> Split:
        """Return the rows of each part; which people are in which, and which of their samples, come from the stream `split`."""
        if not self.unseen:
            return super().split(raw, streams)
        generator = streams.numpy("split")
        people = self._split_people()
        order = generator.permutation(self.people)
        rows = [generator.permutation(np.flatnonzero(raw.targets == one))[: self.each] for one in order]
        validation, train = people.test, people.test + people.validation
        return Split(
            np.concatenate(rows[train:]),
            np.concatenate(rows[validation:train]),
            np.concatenate(rows[:validation]),
        )

    def _split_people(self) -> Sizes:
        own = self.people
        validation, test = round(self.validation * own), round(self.test * own)
        return self.checked(Sizes(own - validation - test, validation, test), own, "people")
