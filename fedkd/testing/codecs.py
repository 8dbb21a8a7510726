"""What must hold of every codec."""

import math

import numpy as np
import torch
from flwr.app import RecordDict
from torch import Tensor

from fedkd.foundation.seeding import Streams
from fedkd.knowledge import CODECS, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.package import payload_of
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.testing.contract import Contract, generators_left_alone, require

SHAPES = ((7,), (1, 1), (12, 10), (3, 2, 5, 5))


def the_shape_comes_back(codec: Codec) -> None:
    """Decoding gives float32 numbers of the shape that was encoded, every one finite."""
    for shape in SHAPES:
        back = codec.decode(codec.encode(_values(shape)))
        require(tuple(back.shape) == shape, f"the shape {shape} comes back as {tuple(back.shape)}")
        require(back.dtype == torch.float32, f"numbers come back as {back.dtype}")
        require(back.isfinite().all(), "finite numbers come back as something else")


def the_size_is_exact(codec: Codec) -> None:
    """`num_bytes` is the number of bytes that are sent."""
    for shape in SHAPES:
        sent, stated = np.ascontiguousarray(codec.encode(_values(shape))).nbytes, codec.num_bytes(shape)
        require(sent == stated, f"{sent} bytes are sent for the shape {shape}, num_bytes says {stated}")


def the_receiver_decodes_by_name(codec: Codec) -> None:
    """From a message alone, another process decodes the same numbers and knows the same size."""
    values = _values((12, 10))
    content = RecordDict({**to_records(Package("logits", {"values": values}, ids=torch.arange(12)), codec)})
    received = deserialise(serialise(content))
    package = from_records(received)
    same = torch.equal(package.values, codec.decode(codec.encode(values)))
    require(same, "the receiver, who makes the codec from its name without options, decodes something else")
    require(
        payload_of(received) == codec.num_bytes((12, 10)),
        "the ledger would count another size than num_bytes",
    )


def decoding_again_changes_nothing(codec: Codec) -> None:
    """What has been through the codec goes through it again without further loss: a consensus may be passed on."""
    once = codec.decode(codec.encode(_values((12, 10))))
    twice = codec.decode(codec.encode(once))
    require(
        torch.allclose(once, twice, rtol=1e-3, atol=1e-6), "numbers change again when they are coded twice"
    )


def what_is_not_finite_is_noticed(codec: Codec) -> None:
    """A NaN does not come back as a number, so that the client that sent it can be named."""
    values = _values((12, 10))
    values[3, 4] = math.nan
    require(not codec.decode(codec.encode(values)).isfinite().all(), "a NaN comes back as a number")


def numbers_are_left_as_they_are(codec: Codec) -> None:
    """Coding writes into nothing, draws from no global generator, and sends the same bytes twice."""
    values = _values((12, 10))
    with generators_left_alone():
        sent = codec.encode(values).tobytes()
        codec.decode(codec.encode(values))
    require(torch.equal(values, _values((12, 10))), "it writes into what it is given")
    require(sent == codec.encode(values).tobytes(), "the same numbers are sent as different bytes")


CONTRACT = Contract(
    CODECS,
    Codec,
    (
        the_shape_comes_back,
        the_size_is_exact,
        the_receiver_decodes_by_name,
        decoding_again_changes_nothing,
        what_is_not_finite_is_noticed,
        numbers_are_left_as_they_are,
    ),
)


def _values(shape: tuple[int, ...]) -> Tensor:
    return 3.0 * torch.randn(shape, generator=Streams(0).torch("values"))
