"""Shuffled pairs: the control of whatever is learned from one view of a sample by way of another (cross-modal distillation)."""

from dataclasses import replace

import torch

from fedkd.data.datasets.base import DataSet
from fedkd.data.samples import Samples
from fedkd.foundation.errors import IllegalCombination
from fedkd.foundation.seeding import Streams

SHUFFLED = "proxy.shuffled_views=true"


def check_shuffled(data: DataSet, *, labelled: bool) -> None:
    """Refuse to shuffle the views of samples that have one, or whose labels could then belong to one view only.

    Raises:
        IllegalCombination: with a way out.
    """
    if len(data.views) < 2:
        raise IllegalCombination(
            f"{SHUFFLED} has no effect with data={data.name()}, whose samples have one view; leave it out, or take data=mfeat"
        )
    if labelled:
        raise IllegalCombination(
            f"{SHUFFLED} needs proxy.labelled=false: a label belongs to one of the views that are mixed, and would be wrong for the others"
        )


def shuffled(samples: Samples, streams: Streams) -> Samples:
    """Return samples whose views are each dealt anew among them, so that views of one thing no longer stand together.

    Ids and targets stay with the first view. Draws from the stream `proxy/views`.
    """
    generator = streams.torch("proxy/views")
    first = next(iter(samples.inputs))
    inputs = {
        name: view if name == first else view[torch.randperm(len(view), generator=generator)]
        for name, view in samples.inputs.items()
    }
    return replace(samples, inputs=inputs)
