"""A proxy set out of another data set: public data that is near the task, or far from it."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import DataInfo, DataSet
from fedkd.data.proxies.base import NOTHING_TAKEN, Proxy, ProxyDraw, unknown_targets
from fedkd.data.samples import Samples
from fedkd.foundation.errors import IllegalCombination, InvalidOption
from fedkd.foundation.options import Count
from fedkd.foundation.parts import build
from fedkd.foundation.seeding import Streams


@dataclass(frozen=True, kw_only=True)
class OtherDataSet(Proxy):
    """Samples of another data set; its images are resized and their channels matched, its tables standardised by themselves."""

    dataset: str = "mnist_10k"
    "Name of the data set, or module:Class."
    size: Count = 400
    "Number of samples, out of the training pool of that set."
    labelled: bool = False
    "Whether methods may use its targets; only if it has the same classes."

    def check(self, data: DataSet, pool: int) -> None:
        """Refuse the clients' own data set, another kind of inputs, foreign labels and too large a size."""
        del pool
        other = self._other()
        if type(other) is type(data):
            raise IllegalCombination(
                f"proxy.dataset={self.dataset} is the data set of the clients; use proxy=heldout, which takes the samples from them"
            )
        if self.dataset in data.shares_with or data.name() in other.shares_with:
            raise IllegalCombination(
                f"proxy.dataset={self.dataset} holds samples of data={data.name()}, its test part among them; choose another set"
            )
        for name, shape in data.views.items():
            theirs = other.views.get(name)
            if theirs is None or len(theirs) != len(shape) or (len(shape) != 3 and theirs != shape):
                raise IllegalCombination(
                    f"proxy.dataset={self.dataset} cannot stand in for data={data.name()}, whose view {name!r} has the shape "
                    f"{_words(shape)}; it has {', '.join(f'{view!r} of {_words(size)}' for view, size in other.views.items())}"
                )
        if any(other.symbols.get(name) != data.symbols.get(name) for name in data.views):
            raise IllegalCombination(
                f"proxy.dataset={self.dataset} has other symbols than data={data.name()}; choose a set with the same"
            )
        if self.labelled and not (data.class_names and data.class_names == other.class_names):
            raise IllegalCombination(
                f"proxy.labelled=true needs the classes of data={data.name()}; {self.dataset} has others"
            )
        if self.size > (largest := other.sizes().train):
            raise InvalidOption(
                "proxy.size", self.size, f"at most {largest}, the training pool of {self.dataset}"
            )

    def count(self, pool: int) -> int:
        """Return the size."""
        del pool
        return self.size

    def draw(self, info: DataInfo, pool: Samples, streams: Streams) -> ProxyDraw:
        """Take a random part of the other training pool, in the order of its ids; targets only where the classes are the same."""
        del pool
        loaded = self._other().load(streams)
        chosen = np.sort(streams.numpy("proxy").permutation(len(loaded.train))[: self.size])
        theirs = loaded.train.take(chosen)
        same = bool(info.class_names) and info.class_names == loaded.info.class_names
        inputs = {name: _fitted(theirs.inputs[name], shape) for name, shape in info.views.items()}
        targets = theirs.targets if same else unknown_targets(info, len(theirs))
        return ProxyDraw(Samples(inputs, targets, theirs.ids), self.labelled, NOTHING_TAKEN)

    def _other(self) -> DataSet:
        other: DataSet = build(DATASETS.find(self.dataset, key="proxy.dataset"), {}, key="proxy.dataset")
        return other


def _fitted(view: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return images [N, c, h, w] as [N, C, H, W] in [0, 1]; tables as they are."""
    if view.ndim != 4:
        return view
    channels, high, wide = shape
    if view.shape[1] != channels:
        view = view.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)
    if view.shape[2:] != (high, wide):
        view = F.interpolate(view, size=(high, wide), mode="bilinear", antialias=True)
    return view.clamp(0, 1).contiguous()


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
