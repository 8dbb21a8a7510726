"""Losses as pure functions: student first, teacher second, batch first, class axis last, in log space.

>>> kd(student_logits, teacher_logits, temperature=4.0)
tensor(...)
"""

from fedkd.losses.federated import not_true_kd
from fedkd.losses.response import kd, mae, mse

__all__ = ["kd", "mae", "mse", "not_true_kd"]
