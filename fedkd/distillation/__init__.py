"""Distillation: fused knowledge, a proxy set and a student become a trained student."""

from fedkd.distillation.distiller import Distiller, Taught
from fedkd.distillation.sequences import Sequences, Speak

__all__ = ["Distiller", "Sequences", "Speak", "Taught"]
