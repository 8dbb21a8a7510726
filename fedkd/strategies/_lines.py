"""The server's ends of the lines to its clients: how knowledge goes down and comes up, with copies where codecs remember."""

import functools
from collections.abc import Iterable, Mapping, Sequence

import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor

from fedkd.engine.mail import FORGET
from fedkd.knowledge import Package, from_records, to_records
from fedkd.knowledge.codecs.base import Codec
from fedkd.knowledge.copies import Copies, receive, send

Records = Mapping[str, ArrayRecord | ConfigRecord]


class Lines:
    """What the server and each client hold of what they last said to each other.

    Without a codec that remembers nothing is held, and all clients are sent one and the same. With one, what goes down differs
    between clients that last heard different things, and a client that failed forgets, as the server does.

    Args:
        up, down: the codec of each direction; that of `up` is known from the messages, and said here for whether it remembers.
    """

    def __init__(self, up: Codec, down: Codec) -> None:
        self._up_codec, self._down_codec = up, down
        self._up: dict[int, Copies] = {}
        self._down: dict[int, Copies] = {}
        self._asked: Sequence[int] = ()
        self._lost: set[int] = set()

    @property
    def _remember(self) -> bool:
        return self._up_codec.remembers or self._down_codec.remembers

    def options(self, clients: Sequence[int]) -> dict[str, list[int]]:
        """Return what a round's message must say about copies, to all its clients alike."""
        lost = sorted(self._lost.intersection(clients))
        return {FORGET: lost} if lost else {}

    def down(self, package: Package | None, clients: Sequence[int]) -> dict[int, Records]:
        """Return what each client of a round is sent; those that hold the same get the same object."""
        self._asked = clients
        if package is None or not self._down_codec.remembers:
            alike: Records = {} if package is None else to_records(package, self._down_codec)
            return dict.fromkeys(clients, alike)
        nothing, sent = Copies.none(), dict[int, tuple[Records, Copies]]()
        records: dict[int, Records] = {}
        for client in clients:
            held = self._down.get(client, nothing)
            if id(held) not in sent:
                sent[id(held)] = send(package, self._down_codec, held)
            records[client], self._down[client] = sent[id(held)]
        return records

    def up(self, client: int, content: RecordDict) -> Package:
        """Return what a client says.

        Raises:
            BadPackage, ValueError: it cannot be read.
        """
        if not self._up_codec.remembers:
            return from_records(content)
        package, self._up[client] = receive(content, self._up.get(client, Copies.none()))
        return package

    def settle(self, usable: Iterable[int]) -> None:
        """Forget what was said to and by clients of the round that did not answer usably, as they will be told to."""
        if not self._remember:
            return
        failed = set(self._asked).difference(usable)
        self._lost = (self._lost - set(self._asked)) | failed
        for client in failed:
            self._up.pop(client, None)
            self._down.pop(client, None)

    def state(self) -> dict[str, Tensor]:
        """Return everything that is held, by name; copies that several clients share are there once."""
        state = {} if not self._lost else {"lost": torch.tensor(sorted(self._lost))}
        for direction, held in (("up", self._up), ("down", self._down)):
            shared = {id(held[client]): held[client] for client in sorted(held)}
            number = {key: place for place, key in enumerate(shared)}
            for key, copies in shared.items():
                state |= {
                    f"{direction}/{number[key]}/{name}": tensor for name, tensor in copies.tensors().items()
                }
            if held:
                pairs = [[client, number[id(held[client])]] for client in sorted(held)]
                state[f"{direction}/clients"] = torch.tensor(pairs)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up what was held."""
        self._lost = set(state["lost"].tolist()) if "lost" in state else set()
        for direction, held in (("up", self._up), ("down", self._down)):
            held.clear()
            shared = functools.cache(functools.partial(_copies_in, state, direction))
            for client, number in state.get(f"{direction}/clients", torch.empty(0, 2)).tolist():
                held[client] = shared(number)


def _copies_in(state: Mapping[str, Tensor], direction: str, number: int) -> Copies:
    return Copies(*(state[f"{direction}/{number}/{name}"] for name in ("ids", "values")))
