"""What must hold of every kind of knowledge, read off real clients, some of which have hardly any data."""

from collections.abc import Iterator

import torch
from flwr.app import RecordDict

from fedkd.clients.supervised import Supervised
from fedkd.data.federated import FederatedData
from fedkd.engine.trained import Trained
from fedkd.knowledge import KINDS, Package, from_records, to_records
from fedkd.knowledge.codecs.float32 import Float32
from fedkd.knowledge.kinds.base import Kind
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.testing.contract import Contract, generators_left_alone, require
from fedkd.testing.ground import FEW_CLASSES, ONE, SEVEN, USUAL, client_side, diabetes, digits


def clients_with_hardly_any_data_can_speak(kind: Kind) -> None:
    """A client of one sample, of seven, or of a few classes gives finite knowledge of one form."""
    for data in _grounds(kind):
        for client in (ONE, SEVEN, FEW_CLASSES, USUAL):
            package, usual = _extract(kind, data, client), _extract(kind, data, USUAL)
            package.require_finite()
            # Of a client's own samples or classes there are more or fewer.
            own = kind.own_classes or (package.ids is not None and not kind.needs_proxy)
            rows = 1 if own else 0
            forms = [
                {name: tuple(array.shape)[rows:] for name, array in said.arrays.items()}
                for said in (package, usual)
            ]
            require(forms[0] == forms[1], f"clients speak in different forms: {forms[0]} and {forms[1]}")


def ids_travel_with_what_is_said(kind: Kind) -> None:
    """Knowledge about proxy samples names them, in the order in which they were asked for."""
    if not kind.needs_proxy:
        return
    for data in _grounds(kind):
        assert data.proxy is not None
        ids = data.proxy.ids[:10]
        forward, backward = _extract(kind, data, USUAL, ids), _extract(kind, data, USUAL, ids.flip(0))
        for package, asked in ((forward, ids), (backward, ids.flip(0))):
            named = package.ids is not None and torch.equal(package.ids, asked)
            require(named, "the package does not name the samples that it was asked about, in their order")
        followed = torch.allclose(forward.values, backward.values.flip(0), rtol=1e-4, atol=1e-5)
        require(followed, "asked in another order, it says something else about the same samples")


def it_survives_the_wire(kind: Kind) -> None:
    """A message carries the package whole: its kind, its arrays, its ids, its counts and its targets."""
    for data in _grounds(kind):
        package = _extract(kind, data, FEW_CLASSES)
        back = from_records(deserialise(serialise(RecordDict({**to_records(package, Float32())}))))
        require(back.kind == package.kind, f"the kind {package.kind!r} arrives as {back.kind!r}")
        require(back.arrays.keys() == package.arrays.keys(), "arrays are lost on the way")
        for name, array in package.arrays.items():
            require(torch.equal(back.arrays[name], array), f"the array {name!r} arrives changed")
        beside = (
            (name, getattr(package, name), getattr(back, name)) for name in ("ids", "counts", "targets")
        )
        for name, sent, got in beside:
            same = got is None if sent is None else got is not None and torch.equal(sent, got)
            require(same, f"the {name} arrive changed")


def clients_are_left_as_they_are(kind: Kind) -> None:
    """Reading changes no weight, draws from no global generator, and says the same twice."""
    for data in _grounds(kind):
        trained = _trained(data, USUAL)
        ids = data.proxy.ids if kind.needs_proxy and data.proxy is not None else None
        before = {name: weight.clone() for name, weight in trained.state.items()}
        with generators_left_alone():
            first, second = kind.extract(trained, ids), kind.extract(trained, ids)
        for name, weight in trained.state.items():
            require(torch.equal(weight, before[name]), f"reading changes the weights {name}")
        for name, array in first.arrays.items():
            require(torch.equal(array, second.arrays[name]), "it says something else when it is asked again")


CONTRACT = Contract(
    KINDS,
    Kind,
    (
        clients_with_hardly_any_data_can_speak,
        ids_travel_with_what_is_said,
        it_survives_the_wire,
        clients_are_left_as_they_are,
    ),
)


def _grounds(kind: Kind) -> Iterator[FederatedData]:
    """Yield data with classes, and with numbers unless the kind is about classes only."""
    yield digits()
    if not kind.needs_classes:
        yield diabetes()


def _trained(data: FederatedData, client: int) -> Trained:
    side = client_side(Supervised(), data)
    network = side.network(client)
    return Trained.of(side, client, network, network.state_dict())


def _extract(kind: Kind, data: FederatedData, client: int, ids: torch.Tensor | None = None) -> Package:
    if kind.needs_proxy and ids is None:
        assert data.proxy is not None
        ids = data.proxy.ids
    return kind.extract(_trained(data, client), ids if kind.needs_proxy else None)
