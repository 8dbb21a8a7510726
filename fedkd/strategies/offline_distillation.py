"""Offline distillation: clients are teachers that are trained first, and a student of any architecture learns from them.

One teacher: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015). Several: You et al., "Learning from Multiple Teacher
Networks" (KDD 2017). With p_k what teacher k says at temperature T (which the fusion, if it is a mean of probabilities, has to be told too), w_k its
weight, y the label where the proxy set has one:

    L = (1 - a) T^2 KL(sum_k w_k p_k || p) + a CE(y, p)

With `generations` the last round's student teaches a fresh one: Furlanello et al., "Born Again Neural Networks" (ICML 2018); Mirzadeh et al.,
"Improved Knowledge Distillation via Teacher Assistant" (AAAI 2020), where assistants come between; Xie et al., "Self-training with Noisy Student
improves ImageNet classification" (CVPR 2020), where the student is as large or larger and its inputs are noisy.

Teacher and student may read different views of a sample (`Model.view`), so that one that sees little learns from one that sees more on pairs of
views without labels: Gupta, Hoffman & Malik, "Cross Modal Distillation for Supervision Transfer" (CVPR 2016).

A teacher is a client, which sends its weights. The student begins from an initialisation of its own, not from an average. Terms of the
distiller on layers of the teachers' networks are means over the teachers, by their weights, each with a regressor of its own.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from fedkd.aggregation.teachers import Need
from fedkd.data.pretrained import published_names
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.parts import dump
from fedkd.models import MODELS
from fedkd.models.base import Model
from fedkd.objectives import Spec
from fedkd.strategies._offline import OfflineDistillation
from fedkd.strategies.base import ServerSide, ServerStrategy


@dataclass(frozen=True, kw_only=True)
class Teaching(ServerStrategy):
    """Clients are teachers that send their networks; a student of any architecture, with weights of its own, learns from them."""

    generations: bool = False
    """From the second round on the last round's student teaches a fresh one while clients rest; else all go on learning."""

    assistants: tuple[Spec, ...] = ()
    """Models that learn one after the other before the student, one in each of the first rounds, the largest first; with `generations`."""

    checkpoints: tuple[str, ...] = ()
    """Run folders, safetensors files or published weights (`ccexam/mnist`) with which the clients begin in round 1, in turn; `method.client.fit.epochs=0` leaves them as they are."""

    ensemble: bool = False
    """Report what the students of all generations say together, as `generations`; with `generations`."""

    takes: ClassVar[tuple[str | None, ...]] = ("weights",)
    needs_proxy: ClassVar[bool] = True
    needs_fusion: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True
    needs_distiller: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = True
    has_teachers: ClassVar[bool] = True
    teachers_apart: ClassVar[bool] = True
    sends_weights: ClassVar[bool] = False
    offers: ClassVar[frozenset[Need]] = frozenset({"labels", "student", "validation", "clients"})

    def __post_init__(self) -> None:
        """Refuse what has no effect without generations, and assistants that do not exist."""
        for option in ("assistants", "ensemble"):
            if getattr(self, option) and not self.generations:
                raise IllegalCombination(
                    f"method.strategy.{option} has no effect without method.strategy.generations=true"
                )
        object.__setattr__(self, "checkpoints", tuple(map(_lasting, self.checkpoints)))
        models = self.further_models().values()
        names = [spec if isinstance(spec, str) else spec["name"] for spec in self.assistants]
        spelled = tuple({"name": name, **dump(model)} for name, model in zip(names, models, strict=True))
        object.__setattr__(self, "assistants", spelled)

    @property
    def trained(self) -> tuple[str, ...]:
        """Return the checkpoints."""
        return self.checkpoints

    @property
    def rests(self) -> bool:
        """Whether clients rest after the first round."""
        return self.generations

    @property
    def least_rounds(self) -> int:
        """One for each assistant, and one for the student."""
        return len(self.assistants) + 1

    def further_models(self) -> Mapping[str, Model]:
        """Return the assistants."""
        keys = [f"method.strategy.assistants.{place}" for place in range(len(self.assistants))]
        return {key: MODELS.create(spec, key=key) for key, spec in zip(keys, self.assistants, strict=True)}

    def sent_beside(self, network: nn.Module, num_outputs: int) -> tuple[int, int]:
        """Return the bytes of a checkpoint, which goes down once."""
        del num_outputs
        state = network.state_dict().values()
        size = sum(weight.nelement() * weight.element_size() for weight in state)
        return (size, 0) if self.checkpoints else (0, 0)

    def create(self, side: ServerSide) -> OfflineDistillation:
        """Return the Flower strategy."""
        assert side.proxy is not None
        first, fresh = next(iter(side.students.values())), side.fresh
        assistants, generations = [*self.further_models().values()], self.generations

        def network_in(server_round: int) -> nn.Module:
            first_of_all = not assistants and server_round == 1
            if first_of_all or not generations:
                return copy.deepcopy(first)
            assert fresh is not None, "later generations need ServerSide.fresh"
            if server_round <= len(assistants):
                return fresh(assistants[server_round - 1], server_round)
            return fresh(None, server_round)

        return OfflineDistillation(
            network_in=network_in,
            teachers=side.students,
            proxy=side.proxy,
            architecture_of=side.architecture_of,
            trained=side.trained,
            generations=self.generations,
            ensemble=self.ensemble,
            task=side.task,
            fusion=side.fusion,
            weighting=side.weighting,
            distiller=side.distiller,
            validation=side.validation,
            labelled=side.proxy_labelled,
            sampling=side.sampling,
        )


def _lasting(place: str) -> str:
    """Return a place as it is called from any folder; one that is not there stays as it was given, for messages."""
    if place in published_names() or not Path(place).exists():
        return place
    return str(Path(place).resolve())
