"""Tasks: on what output a teacher-student system works. Everything that knows what an output means is here."""

from fedkd.tasks.base import DEAD, Divergence, Task
from fedkd.tasks.classification import Classification
from fedkd.tasks.regression import Regression

__all__ = ["DEAD", "Classification", "Divergence", "Regression", "Task"]
