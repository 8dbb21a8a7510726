"""How cohorts are handed to workers."""

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedkd.runtime.calls import NOTHING
from fedkd.runtime.cohort_app import CohortApp
from fedkd.runtime.flower_internals import identify
from fedkd.runtime.grid import Job
from fedkd.runtime.ray_parcels import Parcel, parcels_of, works_of
from fedkd.runtime.values import Value


def cohorts_of(sizes: Sequence[int], kind: str = "train") -> list[list[Job]]:
    identify()
    message = Message(RecordDict(), dst_node_id=1000, message_type=kind)
    clients = itertools.count()
    return [[Job(next(clients), message, NOTHING) for _ in range(size)] for size in sizes]


def works_in(parcels: Sequence[Parcel], works: Sequence[float]) -> list[float]:
    """Return the work of each parcel, where every client is a cohort."""
    return [sum(works[place] for place, _ in parcel.jobs) for parcel in parcels]


def makespan(loads: Sequence[float], workers: int) -> float:
    """Return when the last worker is done, if whoever is free takes the next load."""
    busy = [0.0] * workers
    for load in loads:
        heapq.heapreplace(busy, busy[0] + load)
    return max(busy)


@pytest.mark.parametrize(
    ("sizes", "workers", "limited", "expected"),
    [
        ([1] * 50, 2, False, [13, 10, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1]),
        ([125] * 8, 2, False, [250, 250, 125, 125, 125, 125]),
        ([16, 16, 16], 1, False, [32, 16]),
        ([5, 1, 1], 8, False, [5, 1, 1]),
        ([1] * 20, 2, True, [2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]),
        ([3, 2], 2, True, [3, 2]),
        ([], 2, False, []),
    ],
)
def test_parcels_get_smaller_so_that_workers_end_together(
    sizes: list[int], workers: int, limited: bool, expected: list[int]
) -> None:
    cohorts = cohorts_of(sizes)
    parcels = list(parcels_of(cohorts, sizes, workers, limited=limited))
    assert [len(parcel.jobs) for parcel in parcels] == expected
    carried = [cohort for parcel in parcels for cohort in parcel.cohorts]
    assert [[job for _, job in cohort] for cohort in carried] == cohorts
    assert [place for parcel in parcels for place, _ in parcel.jobs] == list(range(sum(sizes)))


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("workers", [2, 4, 8])
def test_clients_of_unequal_work_end_as_together_as_if_each_were_handed_out_alone_and_the_longest_first(
    workers: int, limited: bool
) -> None:
    draw = np.random.default_rng(0)
    rounds = [draw.lognormal(4, 1.2, 50).tolist() for _ in range(10)] + [[100.0] * 49 + [1500.0]]
    cohorts = cohorts_of([1] * 50)
    for works in rounds:
        parcels = list(parcels_of(cohorts, works, workers, limited=limited))
        assert sorted(place for parcel in parcels for place, _ in parcel.jobs) == list(range(50))
        assert all(cohorts[place] == [job] for parcel in parcels for place, job in parcel.jobs)
        loads = works_in(parcels, works)
        assert makespan(loads, workers) < 1.05 * makespan(sorted(works, reverse=True), workers)
        for parcel, load in zip(parcels, loads, strict=True):
            assert len(parcel.cohorts) == 1 or load < sum(works) / workers


def test_a_cohort_of_much_work_goes_first_and_the_others_in_their_order() -> None:
    parcels = parcels_of(cohorts_of([1] * 6), [1.0, 2.0, 1.0, 1.0, 30.0, 5.0], 2)
    assert [[place for place, _ in parcel.jobs] for parcel in parcels] == [[4], [5], [1], [0], [2], [3]]


def test_clients_without_any_work_are_handed_out_too() -> None:
    for works in ([0.0] * 4, [0.1, 0.2, 0.0, 0.3]):
        parcels = parcels_of(cohorts_of([1] * 4), works, 2)
        assert sorted(place for parcel in parcels for place, _ in parcel.jobs) == [0, 1, 2, 3]


class Sized(CohortApp):
    """An app whose clients have as much work as their number says, in training alone."""

    def cohorts(self, run_config: Mapping[str, Value], clients: Sequence[int]) -> list[list[int]]:
        del run_config
        return [[place] for place in range(len(clients))]

    def together(
        self, kind: str, contents: Sequence[RecordDict], contexts: Sequence[Context]
    ) -> list[RecordDict | Exception]:
        del kind, contexts
        return list(contents)

    def work(self, run_config: Mapping[str, Value], kind: str, clients: Sequence[int]) -> Sequence[float]:
        del run_config
        return [float(client) if kind == "train" else 1.0 for client in clients]


def test_the_app_says_what_a_cohort_has_to_do_and_clients_of_others_are_counted() -> None:
    cohorts = [*cohorts_of([2, 3]), *cohorts_of([4], kind="evaluate")]
    assert works_of(Sized(), {}, cohorts) == [0 + 1, 2 + 3 + 4, 4]
    assert works_of(ClientApp(), {}, cohorts) == [2, 3, 4]


def test_a_parcel_is_taken_apart_after_half_of_the_time_left_into_cohorts_and_those_into_clients() -> None:
    first, second = cohorts_of([2, 3])
    parcel = Parcel((tuple(enumerate(first)), tuple(enumerate(second, 2))))
    assert parcel.due(0.0, 16.0) == 8.0
    assert (
        parcel.due(12.0, 16.0) == 14.0
    )  # counted from when it was handed out, not from the start of the round
    assert parcel.due(12.0, math.inf) == math.inf
    cohorts = parcel.taken_apart()
    assert [len(one.jobs) for one in cohorts] == [2, 3]
    clients = [client for cohort in cohorts for client in cohort.taken_apart()]
    assert [client.jobs for client in clients] == [[numbered] for numbered in parcel.jobs]
    assert clients[0].due(0.0, 16.0) == math.inf
