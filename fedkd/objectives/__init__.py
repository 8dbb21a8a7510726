"""Objectives: losses with weights and schedules, added up, on outputs and on any layer of any network.

>>> objective = Objective([KD(temperature=4.0), Hint(student_layer="body.2", teacher_layer="body.5", weight=0.5)])
"""

from fedkd.objectives.objective import Criterion, Objective, Spec, refuse_idle, spelled_out
from fedkd.objectives.taps import Taps, layer_shapes, predict_with_layers
from fedkd.objectives.teachers import over
from fedkd.objectives.terms import TERMS
from fedkd.objectives.terms.base import FUSED, Lesson, Schedule, Term

__all__ = [
    "FUSED",
    "TERMS",
    "Criterion",
    "Lesson",
    "Objective",
    "Schedule",
    "Spec",
    "Taps",
    "Term",
    "layer_shapes",
    "over",
    "predict_with_layers",
    "refuse_idle",
    "spelled_out",
]
