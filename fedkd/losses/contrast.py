"""The module of contrastive representation distillation: its embeddings and its memories.

>>> loss = CRD((32,), (64,), samples=1000, negatives=100)
>>> loss(student_features, teacher_features, rows, loss.draw(rows, generator)).backward()
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fedkd.losses.information import crd, log_z, scores
from fedkd.losses.reductions import Reduction, unit
from fedkd.losses.regressors import Shape


class CRD(nn.Module):
    """Contrastive representation distillation with its two linear embeddings and memories of every training sample.

    Memories are read, then moved: `momentum` of the old and the rest of the new embedding, at length 1 again. In evaluation mode they
    stay. Z is fixed from the first batch. Features of any shape are flattened.

    Args:
        student: shape of the student's features.
        teacher: shape of the teacher's features.
        samples: size of the training set.
        negatives: K, other samples that each is told from; at most all others.
        width: of the embeddings.
        temperature: T > 0.
        momentum: share of the old embedding that stays, 0 to 1.

    Source: Tian, Krishnan & Isola, "Contrastive Representation Distillation" (ICLR 2020), section 3.
    """

    student_memory: Tensor
    teacher_memory: Tensor
    student_log_z: Tensor
    teacher_log_z: Tensor

    def __init__(
        self,
        student: Shape,
        teacher: Shape,
        *,
        samples: int,
        negatives: int = 16384,
        width: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        self.negatives, self._samples = min(negatives, samples - 1), samples
        self._temperature, self._momentum = temperature, momentum
        self.student, self.teacher = (nn.Linear(math.prod(shape), width) for shape in (student, teacher))
        bound = math.sqrt(3 / width)
        for name in ("student_memory", "teacher_memory"):
            self.register_buffer(name, torch.empty(samples, width).uniform_(-bound, bound))
        for name in ("student_log_z", "teacher_log_z"):
            self.register_buffer(name, torch.tensor(math.nan))

    def draw(self, rows: Int[Tensor, " batch"], generator: torch.Generator) -> Int[Tensor, "batch negatives"]:
        """Return negatives of some samples: positions of any other samples, drawn evenly and with replacement."""
        drawn = torch.randint(self._samples - 1, (len(rows), self.negatives), generator=generator)
        return drawn + (drawn >= rows.cpu()[:, None])

    def forward(
        self,
        student: Float[Tensor, "batch ..."],
        teacher: Float[Tensor, "batch ..."],
        rows: Int[Tensor, " batch"],
        negatives: Int[Tensor, "batch _"],
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*batch"]:
        """Return `crd`, and remember the embeddings.

        Args:
            student: features of the student.
            teacher: features of the teacher; no gradient.
            rows: positions of the samples in the training set.
            negatives: positions of the samples that each is told from, see `draw`.
            reduction: mean over the batch, sum, or one value a sample.
        """
        mine = unit(self.student(student.flatten(1)))
        theirs = unit(self.teacher(teacher.detach().flatten(1)))
        candidates = torch.cat((rows[:, None], negatives.to(rows.device)), dim=1)
        memories = [memory[candidates] for memory in (self.student_memory, self.teacher_memory)]
        if self.student_log_z.isnan():
            with torch.no_grad():
                for log, memory, other in zip(
                    (self.student_log_z, self.teacher_log_z), memories, (theirs, mine), strict=True
                ):
                    log.copy_(log_z(scores(memory, other, self._temperature), self._samples))
        loss = crd(
            mine,
            theirs,
            *memories,
            samples=self._samples,
            student_log_z=self.student_log_z,
            teacher_log_z=self.teacher_log_z,
            temperature=self._temperature,
            reduction=reduction,
        )
        if self.training:
            with torch.no_grad():
                for memory, new in ((self.student_memory, mine), (self.teacher_memory, theirs)):
                    memory[rows] = unit(self._momentum * memory[rows] + (1 - self._momentum) * new)
        return loss
