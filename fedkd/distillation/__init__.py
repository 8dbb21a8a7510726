"""Distillation: fused knowledge, a proxy set and a student become a trained student."""

from fedkd.distillation.distiller import Distiller, Taught

__all__ = ["Distiller", "Taught"]
