"""Distillation experts: several small networks that each know how to rebuild a part of what the teacher has learned.

>>> experts = Experts(8, 64, count=5)
>>> experts(student_features, teacher_features, generator=generator).backward()
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.losses.checks import agree, positive
from fedkd.losses.reductions import Reduction, reduce


def de(
    rebuilt: Float[Tensor, "batch experts width"],
    chances: Float[Tensor, "batch experts"],
    teacher: Float[Tensor, "batch width"],
    *,
    noise: Float[Tensor, "batch experts"] | None = None,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Distillation by experts: `|sum_m s_m E_m - t|^2` with `s = softmax((log softmax(a) + g) / temperature)`.

    Args:
        rebuilt: E, what each expert makes of the student's features.
        chances: a, scores of the experts for each sample, made of what the teacher has learned.
        teacher: t, the teacher's features; no gradient. Finite as long as squared errors are.
        noise: g, numbers of Gumbel's distribution, so that at a low temperature one expert is drawn by its chance; none is none.
        temperature: the lower, the more one expert has all the weight.
        reduction: mean over the batch, sum, or one value a sample.

    Source: Kang et al., "DE-RRD: A Knowledge Distillation Framework for Recommender System" (CIKM 2020), equations 1 to 4.
    """
    agree(
        "de",
        rebuilt.shape[:2],
        chances.shape,
        chances.shape if noise is None else noise.shape,
        what="experts",
    )
    agree("de", rebuilt.shape[::2], teacher.shape)
    positive("temperature", temperature)
    drawn = F.log_softmax(chances, dim=1)
    drawn = drawn if noise is None else drawn + noise
    share = torch.softmax(drawn / temperature, dim=1)
    made = torch.einsum("bm,bmw->bw", share, rebuilt)
    return reduce((made - teacher.detach()).square().sum(dim=1), reduction)


class Experts(nn.Module):
    """Experts of one hidden layer each, and the layer that chooses among them by the teacher's features.

    Args:
        student: width of the student's features.
        teacher: width of the teacher's.
        count: how many experts.
        temperature: of the choice, at the beginning and at the end; between them it falls by the same factor with each batch.
        batches: how many batches it takes to fall.
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        *,
        count: int = 10,
        temperature: tuple[float, float] = (1.0, 1e-2),
        batches: int = 1000,
    ) -> None:
        super().__init__()
        hidden = (student + teacher) // 2
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(student, hidden), nn.ReLU(), nn.Linear(hidden, teacher))
            for _ in range(count)
        )
        self.chooser = nn.Linear(teacher, count)
        self.first, self.last = temperature
        self.batches = batches
        self.seen = 0

    @property
    def temperature(self) -> float:
        """The temperature of the next choice."""
        done = min(self.seen / self.batches, 1.0)
        return float(self.first * (self.last / self.first) ** done)

    def forward(
        self,
        student: Float[Tensor, "batch width ..."],
        teacher: Float[Tensor, "batch wide ..."],
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """Return the loss of a batch, and count it; maps become vectors by the mean of each channel."""
        student, teacher = (
            x.flatten(2).mean(dim=2) if x.ndim > 2 else x for x in (student, teacher.detach())
        )
        rebuilt = torch.stack([expert(student) for expert in self.experts], dim=1)
        chances = self.chooser(teacher)
        noise = -torch.empty(chances.shape).exponential_(generator=generator).log()
        value = de(rebuilt, chances, teacher, noise=noise.to(chances), temperature=self.temperature)
        if self.training:
            self.seen += 1
        return value
