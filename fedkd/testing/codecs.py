"""What must hold of every codec."""

import math

import numpy as np
import torch
from flwr.app import RecordDict
from torch import Tensor

from fedkd.foundation.seeding import Streams
from fedkd.knowledge import CODECS, Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec, in_bytes
from fedkd.knowledge.copies import Copies, receive, send
from fedkd.knowledge.package import payload_of
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.testing.contract import Contract, generators_left_alone, require

SHAPES = ((7,), (1, 1), (12, 10), (3, 2, 5, 5))


def the_shape_comes_back(codec: Codec) -> None:
    """Decoding gives float32 numbers of the shape that was encoded, every one finite."""
    for shape in SHAPES:
        back = _back(codec, _values(codec, shape))
        require(tuple(back.shape) == shape, f"the shape {shape} comes back as {tuple(back.shape)}")
        require(back.dtype == torch.float32, f"numbers come back as {back.dtype}")
        require(back.isfinite().all(), "finite numbers come back as something else")


def the_size_is_exact(codec: Codec) -> None:
    """`num_bytes` is the number of bytes that are sent, or the most that can be where it depends on what is said."""
    for shape in SHAPES:
        sent = np.ascontiguousarray(codec.encode(_values(codec, shape))).nbytes
        stated = codec.num_bytes(shape)
        right = sent == stated if codec.fixed_size else sent <= stated
        require(right, f"{sent} bytes are sent for the shape {shape}, num_bytes says {stated}")


def the_receiver_decodes_by_name(codec: Codec) -> None:
    """From a message alone, another process decodes the same numbers and knows the same size."""
    values = _values(codec, (12, 10))
    content = RecordDict({**to_records(Package("logits", {"values": values}, ids=torch.arange(12)), codec)})
    received = deserialise(serialise(content))
    same = torch.equal(from_records(received).values, _back(codec, values))
    require(same, "the receiver, who makes the codec from its name without options, decodes something else")
    sent = np.ascontiguousarray(codec.encode(values)).nbytes
    require(payload_of(received) == sent, "the ledger would count another size than what is sent")


def its_bytes_are_enough(codec: Codec) -> None:
    """What is sent is read from its bytes and the shape alone, so that it can stand inside another codec."""
    values = _values(codec, (12, 10))
    back = codec.decode(in_bytes(codec.encode(values)), (12, 10))
    require(torch.equal(back, _back(codec, values)), "its bytes are decoded as something else")


def decoding_again_changes_nothing(codec: Codec) -> None:
    """What has been through the codec goes through it again without further loss, unless it says `settles = False`."""
    if not codec.settles:
        return
    once = _back(codec, _values(codec, (12, 10)))
    twice = _back(codec, once)
    require(
        torch.allclose(once, twice, rtol=1e-3, atol=1e-6), "numbers change again when they are coded twice"
    )


def what_is_not_finite_is_noticed(codec: Codec) -> None:
    """A NaN does not come back as a number, so that the client that sent it can be named."""
    values = _values(codec, (12, 10))
    values[3, 4] = math.nan
    require(not _back(codec, values).isfinite().all(), "a NaN comes back as a number")


def numbers_are_left_as_they_are(codec: Codec) -> None:
    """Coding writes into nothing, draws from no global generator, and sends the same bytes twice."""
    values = _values(codec, (12, 10))
    with generators_left_alone():
        sent = codec.encode(values).tobytes()
        _back(codec, values)
    require(torch.equal(values, _values(codec, (12, 10))), "it writes into what it is given")
    require(sent == codec.encode(values).tobytes(), "the same numbers are sent as different bytes")


def both_ends_hold_the_same_copies(codec: Codec) -> None:
    """Over rounds about different samples, the receiver reads what the sender thinks it does, in no more bytes than stated."""
    ends = [Copies.none(), Copies.none()]
    for number, rows in enumerate((slice(0, 8), slice(4, 12), slice(0, 12), slice(0, 12))):
        values = _values(codec, (12, 10), "values" if number == 3 else f"values/{number}")[rows]
        package = Package("logits", {"values": values}, ids=torch.arange(40, 52).flip(0)[rows])
        records, ends[0] = send(package, codec, ends[0])
        content = RecordDict({**records})
        received, ends[1] = receive(deserialise(serialise(content)), ends[1])
        same = all(
            torch.equal(ends[0].tensors()[name], ends[1].tensors()[name]) for name in ("ids", "values")
        )
        require(same, "the two ends hold different copies of what was sent")
        held = ends[1].at(received.ids, (10,)).values if received.ids is not None else None
        require(held is not None and torch.equal(held, received.values), "what is read is not what is held")
        require(
            payload_of(content) <= codec.num_bytes(tuple(values.shape)), "more is sent than num_bytes says"
        )


CONTRACT = Contract(
    CODECS,
    Codec,
    (
        the_shape_comes_back,
        the_size_is_exact,
        the_receiver_decodes_by_name,
        its_bytes_are_enough,
        decoding_again_changes_nothing,
        what_is_not_finite_is_noticed,
        numbers_are_left_as_they_are,
        both_ends_hold_the_same_copies,
    ),
)


def _values(codec: Codec, shape: tuple[int, ...], stream: str = "values") -> Tensor:
    """Return numbers, or distributions for a codec of such."""
    values = 3.0 * torch.randn(shape, generator=Streams(0).torch(stream))
    return values.softmax(dim=-1) if codec.needs_probabilities else values


def _back(codec: Codec, values: Tensor) -> Tensor:
    return codec.decode(codec.encode(values), tuple(values.shape))
