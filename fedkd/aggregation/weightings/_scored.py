"""Weightings that go by how good a teacher is on data with known targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.aggregation.teachers import Fault, Form, Need, Teachers, Witness
from fedkd.aggregation.weightings.base import LoneWeighting

On = Literal["validation", "proxy", "holdout"]
_NEEDS: Mapping[On, Need] = {"validation": "validation", "proxy": "labels", "holdout": "clients"}


@dataclass(frozen=True, kw_only=True)
class Scored(LoneWeighting):
    """A weighting by scores: accuracy, or the share of the variance that is explained."""

    on: On = "validation"
    """What teachers are judged on: the server's `validation` data, where it holds their networks; the labels of the `proxy` set; or each client's own `holdout`, of which it sends the score."""

    @property
    def needs(self) -> frozenset[Need]:
        """What `on` says."""
        return frozenset({_NEEDS[self.on]})

    @property
    def sends(self) -> Mapping[str, Form]:
        """The score, that of chance, and on how many samples, where clients judge themselves."""
        if self.on != "holdout":
            return {}
        return {"score": "number", "chance": "number", "judged_on": "number"}

    @property
    def spots(self) -> frozenset[Fault]:
        """A teacher that knows nothing, or is wrong, unless it is believed what it says of itself."""
        return frozenset() if self.on == "holdout" else frozenset({"ignorance", "error"})

    def testify(
        self, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Return the client's score on what it held out."""
        del ids, generator
        if self.on != "holdout":
            return {}
        outputs, targets = client.on_holdout()
        task, score, chance = client.task, 0.0, 0.0
        if len(targets):
            score, chance = task.metrics(outputs, targets)[task.score], task.chance(targets)
        return {
            "score": torch.tensor(score),
            "chance": torch.tensor(chance),
            "judged_on": torch.tensor(float(len(targets))),
        }

    def judged(self, teachers: Teachers) -> tuple[Float[Tensor, " teachers"], Float[Tensor, " teachers"]]:
        """Return each teacher's score and that of chance; NaN for a score that nobody knows."""
        chance = torch.full_like(teachers.sizes, teachers.chance)
        match self.on:
            case "validation":
                assert teachers.scores is not None
                return teachers.scores, chance
            case "holdout":
                known = teachers.sent["judged_on"] > 0
                return teachers.sent["score"].where(known, torch.nan), teachers.sent["chance"]
            case "proxy":
                assert teachers.labels is not None
                right = (teachers.outputs.argmax(dim=-1) == teachers.labels) & teachers.present
                answered = teachers.present.sum(dim=-1)
                classes = F.one_hot(teachers.labels, teachers.outputs.shape[-1])
                most_frequent = (teachers.present.long() @ classes).amax(dim=-1)
                return right.sum(dim=-1) / answered, most_frequent / answered.clamp_min(1)
