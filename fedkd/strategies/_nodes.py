"""Which node holds which partition: clients are known by the number of their partition, never by node ids."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedkd.foundation.consecutive import Consecutive
from fedkd.foundation.errors import RoundFailed


@runtime_checkable
class KnowsPartitions(Protocol):
    """A grid that can say which partition each of its nodes holds; of another grid the nodes themselves are asked."""

    def partitions(self) -> Mapping[int, int]:
        """Return the node of each partition."""


class Roster:
    """The nodes of a grid and their partitions, both ways.

    Args:
        nodes: the node of each partition.
    """

    def __init__(self, nodes: Mapping[int, int]) -> None:
        self.node_of = nodes
        self.client_of: Mapping[int, int]
        self.clients: Sequence[int]
        if isinstance(nodes, Consecutive):
            self.client_of, self.clients = nodes.inverse(), nodes.numbers
        else:
            self.client_of = {node: client for client, node in nodes.items()}
            self.clients = sorted(nodes)


def roster_of(grid: Grid, *, at_least: int, patience: float) -> Roster:
    """Return the roster of a grid, asking its nodes where the grid does not know.

    Args:
        grid: the grid.
        at_least: how many nodes must have connected.
        patience: seconds to wait for them, and for their answers.

    Raises:
        RoundFailed: fewer nodes connected in time.
    """
    if isinstance(grid, KnowsPartitions):
        return Roster(grid.partitions())
    deadline = time.monotonic() + patience
    while len(nodes := sorted(grid.get_node_ids())) < at_least:
        if time.monotonic() > deadline:
            raise RoundFailed(f"{len(nodes)} of {at_least} nodes connected within {patience:.0f} s")
        time.sleep(0.1)
    question = RecordDict({"config": ConfigRecord({"ask": "partition-id"})})
    asked = [Message(question, dst_node_id=node, message_type=MessageType.QUERY) for node in nodes]
    told: dict[int, int] = {}
    for reply in grid.send_and_receive(asked, timeout=patience):
        if reply.has_content() and "partition-id" in reply.content.config_records.get("config", {}):
            client = int(str(reply.content.config_records["config"]["partition-id"]))
            told[client] = reply.metadata.src_node_id
    # Apps that do not answer the question still have an order: that of their node ids.
    return Roster(told if len(told) == len(nodes) else dict(enumerate(nodes)))
