"""What a client's answer to an evaluate message is made of, and how it is read: pure functions of outputs and targets.

A reply holds the raw outputs on the global splits (`predictions`, for the ensembles), what the client measured on each of
them (`metrics/<split>`, so that the driver need not measure a thousand clients), and its metrics on its own held-out
samples (`metrics`). A client app that is not fedkd's may leave the middle ones out.

>>> [reply] = evaluation_replies(task, {"test": outputs[None]}, {"test": targets}, [(own_outputs, own_targets)])
>>> said_of_split(reply, task, "test")["accuracy"]
0.93
"""

from collections.abc import Mapping, Sequence

from flwr.app import ArrayRecord, MetricRecord, RecordDict
from jaxtyping import Float, Shaped
from torch import Tensor

from fedkd.knowledge.arrays import arrays_in, record_of, tensor_of
from fedkd.tasks import DEAD, Task

METRICS, PREDICTIONS, NUM_EXAMPLES = "metrics", "predictions", "num-examples"

Judged = tuple[Float[Tensor, "_ ..."], Shaped[Tensor, "..."]]
"""Outputs on some samples, and their targets."""


def evaluation_replies(
    task: Task,
    outputs: Mapping[str, Float[Tensor, "clients _ ..."]],
    targets: Mapping[str, Shaped[Tensor, "..."]],
    own: Sequence[Judged],
) -> list[RecordDict]:
    """Return the replies of many clients, which are measured together.

    Args:
        task: what outputs mean.
        outputs: of every client on each global split that was asked for, by split: [clients, samples, outputs].
        targets: of each of these splits.
        own: for each client its outputs on its own held-out samples, and their targets; none give NaN.
    """
    measured = {split: task.measure(said, targets[split]) for split, said in outputs.items()}
    replies = []
    for client, (own_outputs, own_targets) in enumerate(own):
        records: dict[str, ArrayRecord | MetricRecord] = {
            PREDICTIONS: record_of({split: said[client].numpy() for split, said in outputs.items()}),
            METRICS: MetricRecord({NUM_EXAMPLES: len(own_targets), **task.metrics(own_outputs, own_targets)}),
        }
        for split, each in measured.items():
            records[f"{METRICS}/{split}"] = MetricRecord({**each[client]})
        replies.append(RecordDict({**records}))
    return replies


def outputs_on(content: RecordDict, split: str) -> Float[Tensor, "n ... outputs"]:
    """Return the raw outputs on a split that a reply holds."""
    record = arrays_in(content, PREDICTIONS)
    assert record is not None
    return tensor_of(record[split])


def own_metrics(content: RecordDict) -> dict[str, float]:
    """Return the metrics on a client's own samples that a reply holds.

    Raises:
        ValueError: one of them is not a number.
    """
    values = _numbers(content.metric_records[METRICS])
    return {name: value for name, value in values.items() if name != NUM_EXAMPLES}


def said_of_split(content: RecordDict, task: Task, split: str) -> dict[str, float] | None:
    """Return what a client measured on a split, in the form of `Task.measure`; none if it does not say all of it."""
    record = content.metric_records.get(f"{METRICS}/{split}")
    wanted = (*task.metric_names, DEAD)
    if record is None or not all(isinstance(record.get(name), (int, float)) for name in wanted):
        return None
    values = _numbers(record)
    return {name: values[name] for name in wanted}


def _numbers(record: MetricRecord) -> dict[str, float]:
    values = {name: value for name, value in record.items() if isinstance(value, (int, float))}
    if len(values) < len(record):
        raise ValueError(f"metrics {sorted(record.keys() - values.keys())} are not single numbers")
    return {name: float(value) for name, value in values.items()}
