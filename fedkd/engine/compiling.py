"""Compiled steps: PyTorch's compiler makes few kernels of what a recording of a cohort's step does one after the other.

What is compiled depends on the shapes alone, never on what a process has seen before, so bits do not either. To keep
the forms few, cohorts are filled up to `rung` clients.

>>> play = compiled(recording, tensors, pools)
"""

import logging
import warnings
from collections.abc import Callable, Sequence

import torch
import torch.fx.experimental._config as shapes
from torch import Tensor, fx

from fedkd.engine.memory import out_of_memory

_LOG = logging.getLogger(__name__)

Play = Callable[..., Sequence[Tensor]]
"""What a recording does to its tensors."""


def rung(clients: int, active: int) -> int:
    """Return how many clients a compiled step of a cohort computes: it is halved as clients finish.

    Args:
        clients: of the cohort.
        active: those that still train.
    """
    size = -(-clients // 4) * 4
    while size % 8 == 0 and active <= size // 2:
        size //= 2
    return size


def compiled(recording: fx.GraphModule, tensors: Sequence[Tensor], pools: Sequence[int]) -> Play:
    """Return what a recording does, to float tolerance and faster; it takes seconds to make. What the compiler refuses stays as it is, with a line in the log.

    Args:
        recording: a step.
        tensors: what it is about.
        pools: the places of those whose number of rows may be any, of at least 2.
    """
    try:
        # By default the compiler generalises once it has seen a second shape, and takes lengths that are equal once to be so
        # for ever: what it makes would depend on the past. And its own imports warn of what it uses itself.
        with (
            torch._dynamo.config.patch(automatic_dynamic_shapes=False),  # noqa: SLF001  (documented, whatever its name)
            shapes.patch(use_duck_shape=False),  # type: ignore[attr-defined]
            warnings.catch_warnings(action="ignore"),
            torch.no_grad(),
        ):
            made: Play = torch.compile(recording)

            def play(*tensors: Tensor) -> Sequence[Tensor]:
                for place in pools:
                    torch._dynamo.mark_dynamic(tensors[place], 0)  # noqa: SLF001
                return made(*tensors)

            play(*tensors)
    except Exception as error:
        if out_of_memory(error):
            raise
        # Whatever the compiler cannot do, the step can be run as it is.
        _LOG.warning("a step is run without compiling it, since: %s", " ".join(str(error).split())[:300])
        return recording.forward
    return play
