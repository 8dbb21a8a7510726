"""What must hold of every proxy set, beside clients who have digits."""

import functools

import numpy as np
import torch

from fedkd.data.datasets.base import Loaded
from fedkd.data.datasets.digits import Digits
from fedkd.data.proxies import PROXIES
from fedkd.data.proxies.base import Proxy, ProxyDraw
from fedkd.foundation.seeding import Streams
from fedkd.testing.contract import Contract, generators_left_alone, require


def it_can_stand_beside_digits(proxy: Proxy) -> None:
    """The set can be drawn for clients who classify digits; a set that needs other data cannot be tested here."""
    proxy.check(Digits(), len(_clients().train))
    _draw(proxy)


def the_size_is_known_beforehand(proxy: Proxy) -> None:
    """`count` and `taken` say how many samples the set has, and how many of them the clients lose."""
    drawn, pool = _draw(proxy), len(_clients().train)
    size = 0 if drawn.samples is None else len(drawn.samples)
    require(size == proxy.count(pool), f"{size} samples are drawn, count says {proxy.count(pool)}")
    taken = len(np.unique(drawn.taken))
    require(taken == proxy.taken(pool), f"{taken} samples leave the pool, taken says {proxy.taken(pool)}")
    require(taken == len(drawn.taken), "a sample is taken twice")
    require(
        taken == 0 or (drawn.taken.min() >= 0 and drawn.taken.max() < pool),
        "what is taken is not in the pool",
    )


def samples_fit_the_clients_models(proxy: Proxy) -> None:
    """Each sample has the views of the clients' data in their shapes, finite, and an id of its own."""
    samples = _draw(proxy).samples
    if samples is None:
        return
    shapes = {view: tuple(x.shape[1:]) for view, x in samples.inputs.items()}
    require(
        shapes == dict(Digits.views),
        f"samples have the views {shapes}, the clients have {dict(Digits.views)}",
    )
    require(
        all(x.isfinite().all() for x in samples.inputs.values()), "a sample holds numbers that are not finite"
    )
    require(len(set(samples.ids.tolist())) == len(samples), "two samples have the same id")


def labels_are_classes_where_they_are_promised(proxy: Proxy) -> None:
    """A labelled set has a class of the clients for every sample; in others an unknown one is -1."""
    drawn = _draw(proxy)
    if drawn.samples is not None:
        least = 0 if drawn.labelled else -1
        targets = drawn.samples.targets
        right = (targets >= least).all() and (targets < Digits.num_outputs).all()
        require(right, f"a target is not a class from {least} to {Digits.num_outputs - 1}")
    require(not drawn.labelled or drawn.samples is not None, "a set without samples says that it is labelled")


def the_seed_decides(proxy: Proxy) -> None:
    """Equal seeds draw alike, and no global generator is drawn from."""
    with generators_left_alone():
        first, second = _draw(proxy), _draw(proxy)
    require(np.array_equal(first.taken, second.taken), "the same seed takes different samples from the pool")
    if first.samples is None or second.samples is None:
        return
    require(torch.equal(first.samples.ids, second.samples.ids), "the same seed gives samples of other ids")
    same = all(torch.equal(x, second.samples.inputs[view]) for view, x in first.samples.inputs.items())
    require(same, "the same seed gives other samples")


CONTRACT = Contract(
    PROXIES,
    Proxy,
    (
        it_can_stand_beside_digits,
        the_size_is_known_beforehand,
        samples_fit_the_clients_models,
        labels_are_classes_where_they_are_promised,
        the_seed_decides,
    ),
)


@functools.cache
def _clients() -> Loaded:
    return Digits().load(Streams(0))


def _draw(proxy: Proxy) -> ProxyDraw:
    return proxy.draw(_clients().info, _clients().train, Streams(0))
