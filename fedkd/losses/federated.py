"""Losses that federated methods brought: distillation over the classes that are not the true one.

>>> not_true_kd(torch.tensor([[9.0, 1.0, 0.0]]), torch.tensor([[-9.0, 1.0, 0.0]]), torch.tensor([0]))
tensor(0.)
"""

import math

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.losses.checks import agree, one_hot, positive
from fedkd.losses.reductions import Reduction, reduce
from fedkd.losses.response import tempered


def not_true_kd(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    targets: Int[Tensor, " batch"],
    *,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Not-true distillation: `T^2 KL(q_teacher || q_student)`, q the softmax over the classes other than the true one.

    The logit of the true class has no part in it: its gradient is exactly 0. With two classes nothing is left, and it is 0.

    Args:
        student_logits: receives the gradient.
        teacher_logits: no gradient; log-probabilities serve as well, -inf among them. Where all classes but the true one have a probability of
            0, they count as alike.
        targets: the true class of each sample.
        temperature: T > 0, of both sides.
        reduction: mean over the batch, sum, or one value a sample.

    Raises:
        IllegalCombination: a label is no class.

    Source: Lee et al., "Preservation of the Global Knowledge by Not-True Distillation in Federated Learning" (NeurIPS 2022),
    equations 3 to 5. `T^2`, which keeps the gradient's size, is in the authors' code; at the paper's T = 1 it makes no difference.
    """
    agree("not_true_kd", student_logits.shape, teacher_logits.shape)
    agree("not_true_kd", student_logits.shape[:1], targets.shape, what="batches")
    positive("temperature", temperature)
    true = one_hot("not_true_kd", targets, student_logits.shape[-1])
    student, teacher = (
        F.log_softmax(logits.masked_fill(true, -math.inf), dim=-1).masked_fill(true, 0.0)
        for logits in (student_logits / temperature, tempered(teacher_logits, temperature))
    )
    # The true class would count e^0 (0 - 0) = 0.
    divergence = (teacher.exp() * (teacher - student)).sum(dim=-1) * temperature**2
    return reduce(divergence, reduction)
