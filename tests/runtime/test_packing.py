import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedkd.knowledge.arrays import LocalArray, record_of
from fedkd.runtime.flower_internals import deserialise, message_bytes, serialise
from fedkd.runtime.packing import pack, unpack


def content(number: int, *, width: int = 3, odd: bool = False) -> RecordDict:
    values = np.full((2, width), number, dtype=np.float32)
    arrays = ArrayRecord({"w": Array(values)}) if odd else record_of({"w": values, "n": np.array(number)})
    return RecordDict(
        {
            "arrays": arrays,
            "metrics": MetricRecord({"num-examples": number, "loss": number / 3, "many": [1.5, 2.0]}),
            "config": ConfigRecord({"flag": True, "name": f"client {number}", "raw": b"\x00\x01"}),
        }
    )


def test_contents_of_any_forms_come_out_as_they_went_in_and_in_their_order() -> None:
    contents = [
        content(0),
        content(1, width=5),
        content(2, odd=True),
        content(3),
        RecordDict(),
        content(4, width=5),
    ]
    packed = pack(contents)
    assert [serialise(one) for one in unpack(packed)] == [serialise(one) for one in contents]
    assert [serialise(one) for one in unpack(packed, [3, 1])] == [
        serialise(contents[3]),
        serialise(contents[1]),
    ]


def test_contents_of_one_form_share_one_array_that_is_not_copied_again() -> None:
    packed = pack([content(number) for number in range(10)])
    assert packed.num_bytes == 10 * (6 * 4 + 8)
    one, other = (unpack(packed)[row]["arrays"]["w"].values for row in (2, 7))
    assert one.base is other.base
    assert packed.odd == []


def test_a_local_array_is_flowers_array_to_everyone_who_looks() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    ours, flowers = LocalArray(values), Array(values)
    assert (ours.dtype, ours.shape, ours.stype, ours.data) == (
        flowers.dtype,
        flowers.shape,
        flowers.stype,
        flowers.data,
    )
    assert ours == flowers
    copy = ours.numpy()
    copy += 1
    assert np.array_equal(ours.numpy(), values)
    assert ours.deflate() == flowers.deflate()
    with pytest.raises(AttributeError, match="make another one"):
        ours.data = b""


def test_arrays_whose_memory_is_not_in_order_are_put_in_order() -> None:
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T
    record = RecordDict({"arrays": record_of({"w": turned, "scalar": np.array(2.0)})})
    back = deserialise(serialise(record))
    assert np.array_equal(back["arrays"]["w"].numpy(), turned)
    assert back["arrays"]["scalar"].shape == ()


@pytest.mark.parametrize("number", [0, 1, 127, 128, 100_000, -1])
def test_the_size_of_a_message_is_that_of_its_serialised_records(number: int) -> None:
    for one in (content(number), content(number, odd=True)):
        one["metrics"]["zero"] = 0.0
        assert message_bytes(one) == len(serialise(one)) == message_bytes(deserialise(serialise(one)))
