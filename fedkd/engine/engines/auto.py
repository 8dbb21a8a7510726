"""The engine that a rule, or a measurement that was made before, says is the faster one; never timed within a run.

`docs/performance.md` explains the rule, which is a guess beyond the networks of the benchmark; `fedkd calibrate` puts a
measurement on this machine in its place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from fedkd.engine.calibration import verdict
from fedkd.engine.engines.base import Engine, Question, TrainingEngine
from fedkd.engine.engines.sequential import Sequential
from fedkd.engine.engines.vectorised import Vectorised
from fedkd.engine.vectorised import bears_vmap
from fedkd.foundation.options import Count
from fedkd.models.base import count_parameters

MOST_WORK = 8_000_000
"""Weights x samples of a batch up to which a step is taken to be so short that starting its kernels costs more than running them."""

_CONVOLUTIONS = (nn.modules.conv._ConvNd,)  # noqa: SLF001  (the common base of all convolutions)


@dataclass(frozen=True, kw_only=True)
class Auto(Engine):
    """Chooses between sequential and vectorised; the resolved config holds what was chosen."""

    cohort_size: Count | None = None
    """Clients that are trained at once where that is chosen; none as for `vectorised`."""

    compile: bool = False
    """Whether clients that are trained at once are trained by compiled steps, as for `vectorised`."""

    def chosen(self, questions: Iterable[Question]) -> TrainingEngine:
        """Return the engine for clients of these architectures."""
        asked = list(questions)
        at_once = Vectorised(precision=self.precision, cohort_size=self.cohort_size, compile=self.compile)
        answers: Mapping[str, bool] = {one.architecture: vectorising_pays(one, at_once) for one in asked}
        if not any(answers.values()):
            return Sequential(precision=self.precision)
        alone = tuple(sorted(name for name, pays in answers.items() if not pays))
        return replace(at_once, one_by_one=alone).chosen(asked)


def vectorising_pays(question: Question, at_once: Vectorised) -> bool:
    """Return whether training many clients at once, with these options, is faster: as measured on this machine, or else by the rule."""
    modules = list(question.network.modules())
    if not question.together or not bears_vmap(question.network):
        return False
    measured = verdict(question, at_once)
    if measured is not None:
        return measured
    if question.device != "cpu":
        return True
    if any(isinstance(module, _CONVOLUTIONS) for module in modules):
        return False
    return count_parameters(question.network) * question.batch_size <= MOST_WORK
