"""What clients send beside their answers for the sake of a weighting, as a record of the message.

>>> records = evidence_of(ClassCounts(), client, ids, generator)
>>> read_evidence(RecordDict(records), ClassCounts(), samples=400, outputs=10)["class_counts"].shape
torch.Size([10])
"""

import math
from collections.abc import Mapping

import torch
from flwr.app import ArrayRecord, RecordDict
from jaxtyping import Int
from torch import Tensor

from fedkd.aggregation.teachers import Form, Witness
from fedkd.aggregation.weightings.base import Weighting
from fedkd.knowledge.arrays import arrays_in, record_of, tensor_of
from fedkd.knowledge.package import EVIDENCE, BadPackage


def evidence_of(
    weighting: Weighting, client: Witness, ids: Int[Tensor, " m"], generator: torch.Generator
) -> dict[str, ArrayRecord]:
    """Return the record that a client sends, as float32; none where the weighting wants nothing.

    Args:
        weighting: says what is wanted.
        client: the client after its training.
        ids: the proxy samples that it speaks about.
        generator: for what is drawn.
    """
    if not weighting.sends:
        return {}
    said = weighting.testify(client, ids, generator)
    return {EVIDENCE: record_of({name: said[name].float().numpy() for name in weighting.sends})}


def read_evidence(
    content: RecordDict, weighting: Weighting, *, samples: int, outputs: int, answers: int = 1
) -> dict[str, Tensor]:
    """Return what a client sent for a weighting.

    Args:
        content: its message.
        weighting: says what is wanted.
        samples: how many proxy samples the client speaks about.
        outputs: how many classes, or numbers, an answer has.
        answers: how many answers a sample has.

    Raises:
        BadPackage: something is missing, of another shape, or not finite.
    """
    if not weighting.sends:
        return {}
    record = arrays_in(content, EVIDENCE)
    read = {}
    for name, form in weighting.sends.items():
        if record is None or name not in record:
            raise BadPackage(f"sent no {name!r}, which the weighting needs")
        array, shape = tensor_of(record[name]).float(), shape_of(form, samples, outputs, answers)
        if tuple(array.shape) != shape:
            raise BadPackage(f"sent {name!r} of shape {list(array.shape)}, expected {list(shape)}")
        if not array.isfinite().all():
            raise BadPackage(f"sent {name!r} that is not finite")
        read[name] = array
    return read


def shape_of(form: Form, samples: int, outputs: int, answers: int = 1) -> tuple[int, ...]:
    """Return the shape of a piece of evidence."""
    return {"number": (), "classes": (outputs,), "answers": (answers,), "samples": (samples,)}[form]


def evidence_bytes(sends: Mapping[str, Form], samples: int, outputs: int, answers: int = 1) -> int:
    """Return the size of what one client sends beside its answer."""
    return sum(4 * math.prod(shape_of(form, samples, outputs, answers)) for form in sends.values())


def by_row(
    sent: Mapping[str, Tensor], sends: Mapping[str, Form], *, samples: int, answers: int
) -> dict[str, Tensor]:
    """Return what a client sent, with a number for each row where it is about samples or their answers.

    Args:
        sent: what it sent, by name.
        sends: the form of each.
        samples: how many samples the client speaks about.
        answers: how many answers a sample has; rows are the answers of the first sample, then those of the second, and so on.
    """
    laid = {}
    for name, said in sent.items():
        match sends.get(name):
            case "samples":
                laid[name] = said.repeat_interleave(answers)
            case "answers":
                laid[name] = said.repeat(samples)
            case _:
                laid[name] = said
    return laid
