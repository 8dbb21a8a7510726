"""A proxy set out of the clients' own distribution: a random part of the training pool, which no client gets."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from fedkd.data.datasets.base import DataInfo, DataSet, Indices
from fedkd.data.proxies._pairs import check_shuffled, shuffled
from fedkd.data.proxies.base import Proxy, ProxyDraw
from fedkd.data.samples import Samples
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count, Share
from fedkd.foundation.seeding import Streams

USUAL = 400
"""Samples of a proxy set whose size is not given, where the training pool is large enough."""


@dataclass(frozen=True, kw_only=True)
class Heldout(Proxy):
    """A random part of the training pool, which no client gets."""

    size: Count | None = None
    "Number of samples, at most half of the training pool; empty takes 400, or a third of the pool where that is less."
    labelled: bool = True
    "Whether methods may use the true targets; if not, they serve diagnosis only."
    classes: Count | None = None
    "Number of classes that the set covers, drawn at random; fewer are a part of more. None is all."
    by_owner: bool = False
    "Whether owners (users, speakers) are held out with all that is theirs, so that no client has samples of them; the last one may keep some."
    target: bool = False
    "Take it from the owner alone whom the test data is of: samples of the target domain, as data=digit_domains has them."
    label_noise: Share = 0.0
    "Share of its labels that are wrong: in their place stands one of the other classes, each as likely as the next."
    shuffled_views: bool = False
    "Deal each view anew among the samples, so that views of one sample no longer belong together: the control of cross-modal distillation."

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse a size of more than half of the pool, classes that do not exist, wrong labels that nobody may look at, and views that cannot be shuffled."""
        if not 1 <= self.count(pool) <= pool // 2:
            allowed = f"at most {pool // 2}, half of the training pool of data={data.name()}"
            raise InvalidOption("proxy.size", self.count(pool), allowed)
        if self.shuffled_views:
            check_shuffled(data, labelled=self.labelled)
        if self.label_noise and not self.labelled:
            raise IllegalCombination(
                f"proxy.label_noise={self.label_noise} has no effect with proxy.labelled=false; leave one of them out"
            )
        if self.by_owner and not data.owners:
            raise IllegalCombination(
                f"proxy.by_owner=true needs data that says whose a sample is, and data={data.name()} does not; leave it out"
            )
        if self.target and data.target_owner is None:
            raise IllegalCombination(
                f"proxy.target=true needs data with a target domain, and data={data.name()} has none; leave it out, or take data=digit_domains"
            )
        if not data.targets.one_class and (self.classes is not None or self.label_noise):
            raise IllegalCombination(
                f"proxy.classes and proxy.label_noise are about one class a sample, and data={data.name()} has {data.targets.are}; leave them out"
            )
        if self.classes is not None and self.classes > data.num_outputs:
            raise InvalidOption(
                "proxy.classes",
                self.classes,
                f"at most {data.num_outputs}, the classes of data={data.name()}",
            )

    def count(self, pool: int) -> int:
        """Return the size, or the usual one for this pool."""
        return min(USUAL, pool // 3) if self.size is None else self.size

    def taken(self, pool: int) -> int:
        """Return the size: every sample leaves the pool."""
        return self.count(pool)

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Take a random part of the pool, in the order of ids.

        Which classes are covered is drawn from the stream `proxy/classes`, which labels are wrong from `proxy/labels`, whose view stands with
        whose from `proxy/views`.

        Raises:
            InvalidOption: the classes that are covered, or the target, have fewer samples in the pool than the set shall have.
        """
        order = streams.numpy("proxy").permutation(len(pool))
        if self.by_owner:
            order = _owner_by_owner(order, pool)
        if self.target:
            order = self._of_target(order, info, pool)
        if self.classes is not None:
            order = self._covered(order, info, pool, streams)
        taken = np.sort(order[: self.count(len(pool))])
        samples = pool.take(taken)
        if self.label_noise:
            samples = self._mislabelled(samples, info, streams)
        if self.shuffled_views:
            samples = shuffled(samples, streams)
        return ProxyDraw(samples, self.labelled, taken)

    def _of_target(self, order: Indices, info: DataInfo, pool: Samples) -> Indices:
        assert pool.owners is not None, "the check before loading asks for a target"
        own: Indices = order[pool.owners.numpy()[order] == info.target_owner]
        if len(own) < (size := self.count(len(pool))):
            raise InvalidOption("proxy.size", size, f"at most {len(own)}, the samples of the target domain")
        return own

    def _covered(self, order: Indices, info: DataInfo, pool: Samples, streams: Streams) -> Indices:
        chosen = streams.numpy("proxy/classes").permutation(info.num_outputs)[: self.classes]
        covered = order[np.isin(pool.targets.numpy()[order], chosen)]
        if len(covered) < (size := self.count(len(pool))):
            allowed = (
                f"at most {len(covered)}, the samples of the {self.classes} classes that proxy.classes leaves"
            )
            raise InvalidOption("proxy.size", size, allowed)
        return covered

    def _mislabelled(self, samples: Samples, info: DataInfo, streams: Streams) -> Samples:
        """Return the samples with a share of wrong labels; fewer wrong ones are a part of more, and are wrong alike."""
        draw, targets = streams.numpy("proxy/labels"), samples.targets.clone()
        wrong = torch.from_numpy(draw.permutation(len(samples)))
        away = torch.from_numpy(draw.integers(1, info.num_outputs, size=len(samples)))
        wrong = wrong[: round(self.label_noise * len(samples))]
        targets[wrong] = (targets[wrong] + away[wrong]) % info.num_outputs
        return replace(samples, targets=targets)


def _owner_by_owner(order: Indices, pool: Samples) -> Indices:
    """Return an order in which all samples of an owner follow one another, owners by their first sample in the order."""
    assert pool.owners is not None, "the check before loading asks for owners"
    owners = pool.owners.numpy()[order]
    _, first, which = np.unique(owners, return_index=True, return_inverse=True)
    ordered: Indices = order[np.argsort(first[which], kind="stable")]
    return ordered
