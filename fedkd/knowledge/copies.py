"""The last copy of what one party said to another, by sample id; both keep it alike, so that only differences need be sent.

>>> records, copies = send(package, Delta(), Copies.none())       # at one end
>>> package, copies = receive(RecordDict(records), Copies.none())  # at the other end
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from jaxtyping import Float, Int
from torch import Tensor

from fedkd.knowledge.arrays import record_of, tensor_of
from fedkd.knowledge.codecs.base import Before, Codec
from fedkd.knowledge.package import BadPackage, Package, from_records, to_records


@dataclass(frozen=True, eq=False)
class Copies:
    """Rows by the id of their sample.

    Args:
        ids: [rows] in rising order, each once.
        values: [rows, outputs], or [rows, places, outputs], as the receiver read them last.
    """

    ids: Int[Tensor, " rows"]
    values: Float[Tensor, "rows ..."]

    @classmethod
    def none(cls) -> "Copies":
        """Return the copies of two parties who have not spoken yet."""
        return cls(torch.empty(0, dtype=torch.long), torch.empty(0, 0))

    def at(self, ids: Int[Tensor, " n"], shape: tuple[int, ...]) -> Before:
        """Return what is held of these samples, in this order, one answer below the other; copies of another shape are none."""
        if len(self.ids) and tuple(self.values.shape[1:]) == tuple(shape):
            places = torch.searchsorted(self.ids, ids.contiguous()).clamp_max(len(self.ids) - 1)
            values, known = self.values[places], self.ids[places] == ids
        else:
            values, known = torch.zeros(len(ids), *shape), torch.zeros(len(ids), dtype=torch.bool)
        return Before(values.flatten(0, -2), known.repeat_interleave(math.prod(shape[:-1])))

    def updated(self, ids: Int[Tensor, " n"], values: Float[Tensor, "n ... outputs"]) -> "Copies":
        """Return the copies after these rows were said; the rows of other samples stay."""
        distinct, places = torch.unique(ids, return_inverse=True)
        said = torch.empty(len(distinct), *values.shape[1:])
        said[places] = values.float()
        stay = ~torch.isin(self.ids, distinct)
        if self.values.shape[1:] != values.shape[1:]:
            stay = torch.zeros_like(stay)
        if not bool(stay.any()):
            return Copies(distinct, said)
        everyone, order = torch.cat([self.ids[stay], distinct]).sort()
        return Copies(everyone, torch.cat([self.values[stay], said])[order])

    def tensors(self) -> dict[str, Tensor]:
        """Return ids and values by name."""
        return {"ids": self.ids, "values": self.values}

    def record(self) -> ArrayRecord:
        """Return them as a record of arrays."""
        return record_of({name: tensor.numpy() for name, tensor in self.tensors().items()})

    @classmethod
    def of(cls, record: ArrayRecord | None) -> "Copies":
        """Return the copies that a record holds, or none."""
        return cls.none() if record is None else cls(tensor_of(record["ids"]), tensor_of(record["values"]))

    def digest(self) -> bytes:
        """Return bytes that differ where the copies do."""
        digest = hashlib.blake2b(self.ids.numpy().tobytes(), digest_size=16)
        digest.update(self.values.numpy().tobytes())
        return digest.digest()


def send(
    package: Package, codec: Codec, copies: Copies
) -> tuple[Mapping[str, ArrayRecord | ConfigRecord], Copies]:
    """Return the records of a package for a receiver who holds these copies, and the copies that both hold then."""
    records = to_records(package, codec, _before(package, copies))
    return records, receive(RecordDict({**records}), copies)[1]


def receive(content: RecordDict, copies: Copies) -> tuple[Package, Copies]:
    """Return the package that a message from a sender with these copies carries, and the copies that both hold then.

    Raises:
        BadPackage: as `from_records`, or rows without ids.
        ValueError: a difference to a copy that is not here.
    """
    package = from_records(content, copies.at)
    if package.ids is None or set(package.arrays) != {"values"}:
        raise BadPackage(f"sent {package.kind} without ids; copies are kept of what is said about samples")
    return package, copies.updated(package.ids, package.values)


def _before(package: Package, copies: Copies) -> Before:
    if package.ids is None or set(package.arrays) != {"values"}:
        raise BadPackage(f"{package.kind} have no ids; copies are kept of what is said about samples")
    return copies.at(package.ids, tuple(package.values.shape[1:]))
