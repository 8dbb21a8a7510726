"""Many clients at once, by `torch.func.vmap` over stacked weights: the faster way where a step's kernels are small."""

import itertools
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedkd.engine.engines.base import Question, TrainingEngine, Work
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.options import Count

SMALLEST, LARGEST, COHORTS = 16, 128, 4
"""Without a size of their own, cohorts have `LARGEST` clients; in a small round `SMALLEST`, so that there are `COHORTS` of them."""


@dataclass(frozen=True, kw_only=True)
class Vectorised(TrainingEngine):
    """Trains cohorts of clients of one architecture at once."""

    cohort_size: Count | None = None
    """Clients that are trained at once; none takes a quarter of the round, but about 16 at the least and 128 at the most. Another size can change last bits."""

    compile: bool = False
    """Whether steps go through PyTorch's compiler: seconds for each form of a step at first, then faster; for long runs of small networks."""

    one_by_one: tuple[str, ...] = ()
    """Architectures, by `identity` of the model, whose clients are trained one after the other."""

    def cohorts(self, works: Sequence[Work]) -> list[list[int]]:
        """Return cohorts of clients of one architecture and of like size, those with most samples first."""
        cohorts: list[list[int]] = []
        for architecture in sorted({work.architecture for work in works}):
            mine = [position for position, work in enumerate(works) if work.architecture == architecture]
            mine.sort(key=lambda position: (-works[position].size, position))
            wanted = self.cohort_size or min(max(-(-len(mine) // COHORTS), SMALLEST), LARGEST)
            number = -(-len(mine) // wanted)
            # All cohorts have the same size but for one client.
            cuts = [len(mine) * cut // number for cut in range(number + 1)]
            cohorts += [mine[begin:end] for begin, end in itertools.pairwise(cuts)]
        return cohorts

    def chosen(self, questions: Iterable[Question]) -> TrainingEngine:
        """Return itself.

        Raises:
            IllegalCombination: steps are to be compiled, and this machine has no compiler.
        """
        on_cpu = any(question.device == "cpu" for question in questions)
        named = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
        if self.compile and on_cpu and not any(map(shutil.which, named)):
            raise IllegalCombination(
                f"engine.compile=true needs a C++ compiler ({' or '.join(named)}), and this machine has none; "
                "install one (Debian: g++), name one in CXX, or take engine.compile=false"
            )
        return self

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled."""
        return self.compile

    def vectorises(self, architecture: str) -> bool:
        """Return whether this architecture is not among those that are trained one by one."""
        return architecture not in self.one_by_one
