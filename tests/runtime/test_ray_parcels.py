"""How cohorts are handed to workers."""

import pytest
from flwr.app import Message, RecordDict

from fedkd.runtime.calls import NOTHING
from fedkd.runtime.flower_internals import identify
from fedkd.runtime.grid import Job
from fedkd.runtime.ray_parcels import parcels_of


def cohorts_of(sizes: list[int]) -> list[list[Job]]:
    identify()
    message = Message(RecordDict(), dst_node_id=1000, message_type="train")
    return [[Job(client, message, NOTHING) for client in range(size)] for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "workers", "expected"),
    [
        ([1] * 50, 2, [13, 10, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1]),
        ([125] * 8, 2, [250, 250, 125, 125, 125, 125]),
        ([16, 16, 16], 1, [32, 16]),
        ([5, 1, 1], 8, [5, 1, 1]),
        ([3, 2], None, [3, 2]),
        ([], 2, []),
    ],
)
def test_parcels_get_smaller_so_that_workers_end_together(
    sizes: list[int], workers: int | None, expected: list[int]
) -> None:
    cohorts = cohorts_of(sizes)
    parcels = list(parcels_of(cohorts, workers))
    assert [len(parcel.jobs) for parcel in parcels] == expected
    carried = [cohort for parcel in parcels for cohort in parcel.cohorts]
    assert [[job for _, job in cohort] for cohort in carried] == cohorts
    assert [place for parcel in parcels for place, _ in parcel.jobs] == list(range(sum(sizes)))
