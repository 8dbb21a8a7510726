"""Tasks: on what output a teacher-student system works. Everything that knows what an output means is here."""

from collections.abc import Mapping

from fedkd.tasks.base import DEAD, Divergence, Task
from fedkd.tasks.classification import Classification
from fedkd.tasks.gaussian_regression import GaussianRegression
from fedkd.tasks.generation import Generation
from fedkd.tasks.multitask_classification import MultitaskClassification
from fedkd.tasks.ranking import Ranking
from fedkd.tasks.recognition import Recognition
from fedkd.tasks.regression import Regression

__all__ = [
    "DEAD",
    "TASKS",
    "Classification",
    "Divergence",
    "GaussianRegression",
    "Generation",
    "MultitaskClassification",
    "Ranking",
    "Recognition",
    "Regression",
    "Task",
]

TASKS: Mapping[str, type[Task]] = {
    "classification": Classification,
    "generation": Generation,
    "multitask_classification": MultitaskClassification,
    "ranking": Ranking,
    "recognition": Recognition,
    "regression": Regression,
    "gaussian_regression": GaussianRegression,
}
"""The tasks by the name that a data set gives its own (`DataSet.task`)."""
