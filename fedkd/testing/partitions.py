"""What must hold of every partitioner, on the classes of real digits and on numbers."""

from dataclasses import dataclass, replace

import numpy as np

from fedkd.data.datasets.base import Indices, Raw
from fedkd.data.datasets.digits import Digits
from fedkd.data.federated import federate
from fedkd.data.partitions import PARTITIONS
from fedkd.data.partitions.base import Dealt, Partitioner
from fedkd.foundation.seeding import Streams
from fedkd.testing.contract import Contract, generators_left_alone, require

POOL = 1000
COUNTS = (1, 7, 20)
"""Numbers of clients; with 20, two classes a client suffice for all ten."""


@dataclass(frozen=True, kw_only=True)
class OwnedDigits(Digits):
    """Digits of which each is of one of 20 owners."""

    owners = COUNTS[-1]

    def read(self) -> Raw:
        """Return the digits, dealt round to owners."""
        return replace(super().read(), owners=np.arange(self.rows) % self.owners)


def every_client_gets_its_own_samples(partition: Partitioner) -> None:
    """No sample is in two clients (unless they share them, or `empty=replace` lends it), nor in training and holdout of one."""
    for clients in COUNTS:
        dealt = _deal(partition, clients)
        sizes = len(dealt.training), len(dealt.holdouts)
        require(sizes == (clients, clients), f"{clients} clients are asked for, {sizes} parts are dealt")
        for own, held in zip(dealt.training, dealt.holdouts, strict=True):
            together = np.concatenate([own, held])
            require(len(np.unique(together)) == len(together), "a client has a sample twice")
        everything = _everything(dealt)
        require(
            partition.shares_samples
            or partition.empty == "replace"
            or len(np.unique(everything)) == len(everything),
            f"of {clients} clients, two have the same sample",
        )


def no_sample_is_lost(partition: Partitioner) -> None:
    """Every sample of the pool is in a client, once there are clients enough for all classes."""
    missing = np.setdiff1d(np.arange(POOL), _everything(_deal(partition, COUNTS[-1])))
    require(len(missing) == 0, f"{len(missing)} of {POOL} samples are in none of {COUNTS[-1]} clients")


def every_client_gets_enough(partition: Partitioner) -> None:
    """Each client has at least `minimum` samples, with 1 client and with as many as there are samples for."""
    for clients in (1, COUNTS[-1], POOL // max(partition.minimum, 1)):
        dealt = _deal(partition, clients)
        poorest = min(len(own) + len(held) for own, held in zip(dealt.training, dealt.holdouts, strict=True))
        enough = partition.empty == "allow" or poorest >= partition.minimum
        require(enough, f"of {clients} clients one has {poorest} samples, the minimum is {partition.minimum}")


def the_seed_decides(partition: Partitioner) -> None:
    """Equal seeds deal alike, and no global generator is drawn from."""
    with generators_left_alone():
        first = _deal(partition, COUNTS[-1])
    second = _deal(partition, COUNTS[-1])
    same = all(map(np.array_equal, (*first.training, *first.holdouts), (*second.training, *second.holdouts)))
    require(same, "the same seed deals in two ways")


def numbers_can_be_dealt(partition: Partitioner) -> None:
    """Targets that are numbers, in float32, are dealt as well; a partitioner that cannot use them deals by chance."""
    if partition.by_owner:
        return  # it never sees targets
    numbers = Streams(0).numpy("numbers").standard_normal(POOL).astype(np.float32)
    dealt = partition.assign(numbers, clients=COUNTS[-1], streams=Streams(0))
    require(len(_everything(dealt)) > 0, "no sample is dealt")


def clients_see_samples_of_the_right_shape(partition: Partitioner) -> None:
    """What is done to a client's inputs keeps their shape, type and finiteness, and is the same each time."""
    data = federate(OwnedDigits(), partition, None, 5, Streams(0))
    for client in range(5):
        inputs = data.client_train(client).inputs["image"]
        require(
            tuple(inputs.shape[1:]) == (1, 8, 8), f"a client sees images of shape {tuple(inputs.shape[1:])}"
        )
        require(inputs.isfinite().all(), "a client sees numbers that are not finite")
        require(
            inputs.equal(data.client_train(client).inputs["image"]), "a client sees its samples in two ways"
        )


CONTRACT = Contract(
    PARTITIONS,
    Partitioner,
    (
        every_client_gets_its_own_samples,
        no_sample_is_lost,
        every_client_gets_enough,
        the_seed_decides,
        numbers_can_be_dealt,
        clients_see_samples_of_the_right_shape,
    ),
)


def _deal(partition: Partitioner, clients: int) -> Dealt:
    targets = np.arange(POOL, dtype=np.int64)
    targets = targets % clients if partition.by_owner else targets * 7 % 10
    kept = targets.copy()
    dealt = partition.assign(targets, clients=clients, streams=Streams(0))
    require(np.array_equal(targets, kept), "it writes into the targets")
    return dealt


def _everything(dealt: Dealt) -> Indices:
    return np.concatenate([*dealt.training, *dealt.holdouts])
