"""Evaluation of a round: the student, the ensembles of its teachers, and the clients, on validation, test and own data.

Clients are asked by ordinary evaluate messages for their outputs on the global splits and what they measured on them.
That is the simulator's own diagnosis, not part of any method: the ledger counts it apart. Replies are taken one by one:
never are the outputs of more than one client held.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from torch import Tensor, nn

from fedkd.data.samples import Samples
from fedkd.engine.evaluating import METRICS, PREDICTIONS, outputs_on, own_metrics, said_of_split
from fedkd.foundation.run_folder import MetricRow, metric
from fedkd.knowledge import BadPackage
from fedkd.models.base import predict
from fedkd.runtime.ensembles import Ensembles
from fedkd.tasks import DEAD, Task


@dataclass(frozen=True)
class Evaluation:
    """Says how good everyone is after a round.

    Args:
        task: what outputs mean.
        splits: the global data by name; `validation` chooses, `test` reports.
        answer: shape of what a network says of a sample.
    """

    task: Task
    splits: Mapping[str, Samples]
    answer: tuple[int, ...]

    def student(self, round: int, network: nn.Module) -> tuple[list[MetricRow], dict[str, Tensor]]:  # noqa: A002
        """Return the student's metrics on every global split, and its outputs."""
        return self.network(round, "student", network)

    def network(
        self,
        round: int,  # noqa: A002
        scope: str,
        network: nn.Module,
    ) -> tuple[list[MetricRow], dict[str, Tensor]]:
        """Return the metrics of a network of the server under a scope, and its outputs."""
        outputs = {split: predict(network, samples.inputs) for split, samples in self.splits.items()}
        return self._rows(round, scope, outputs), outputs

    def teachers(
        self,
        round: int,  # noqa: A002
        replies: Iterable[tuple[int, RecordDict]],
        weights: Mapping[int, float] | None,
        student: Mapping[str, Tensor],
    ) -> list[MetricRow]:
        """Return the metrics of the ensembles and of the clients.

        Args:
            round: the round that was just trained.
            replies: each client and its usable evaluate reply, taken one by one; sums are in this order.
            weights: how much each client counted; none counts all alike.
            student: the student's outputs by split, empty without a student.
        """
        ensembles = {split: Ensembles(self.task, samples.targets) for split, samples in self.splits.items()}
        measured: dict[str, dict[int, dict[str, float]]] = {split: {} for split in self.splits}
        own: dict[int, dict[str, float]] = {}
        for client, content in replies:
            weight = weights.get(client, 0.0) if weights else 1.0
            for split, samples in self.splits.items():
                outputs = outputs_on(content, split)
                said = said_of_split(content, self.task, split)
                if said is None:
                    [said] = self.task.measure(outputs[None], samples.targets)
                if not said[DEAD] and not ensembles[split].add(outputs, weight):
                    said[DEAD] = 1.0
                measured[split][client] = said
            own[client] = own_metrics(content)
        rows: list[MetricRow] = []
        for split, each in measured.items():
            dead = sum(bool(said.pop(DEAD)) for said in each.values())
            rows.append(metric(round=round, scope="clients_mean", split=split, metric=DEAD, value=dead))
            if len(ensembles[split]):
                rows += self._ensembles(round, split, ensembles[split], student)
        for split, each in {**measured, "own": own}.items():
            rows += self._clients(round, split, dict(sorted(each.items())))
        for client, weight in sorted((weights or {}).items()):
            rows.append(
                metric(
                    round=round, scope="client", split="proxy", metric="weight", value=weight, client=client
                )
            )
        return rows

    def require_usable(self, reply: Message) -> None:
        """Refuse an evaluate reply that does not hold a client's outputs on every global split and its own metrics.

        Raises:
            BadPackage: with the reason.
        """
        if reply.has_error():
            raise BadPackage(reply.error.reason)
        content = reply.content
        if METRICS not in content.metric_records or PREDICTIONS not in content.array_records:
            raise BadPackage(f"sent no {PREDICTIONS} and {METRICS} (records {sorted(content)})")
        predictions = content.array_records[PREDICTIONS]
        for split, samples in self.splits.items():
            shape = tuple(predictions[split].shape) if split in predictions else ()
            expected = (len(samples), *self.answer)
            if shape != expected:
                raise BadPackage(f"sent outputs of shape {list(shape)} on {split}, expected {list(expected)}")
        try:
            own_metrics(content)
        except ValueError as error:
            raise BadPackage(f"sent {error}") from error

    def _rows(self, round: int, scope: str, outputs: Mapping[str, Tensor]) -> list[MetricRow]:  # noqa: A002
        return [
            metric(round=round, scope=scope, split=split, metric=name, value=value)
            for split, said in outputs.items()
            for name, value in self.task.metrics(said, self.splits[split].targets).items()
        ]

    def _ensembles(
        self,
        round: int,  # noqa: A002
        split: str,
        ensembles: Ensembles,
        student: Mapping[str, Tensor],
    ) -> list[MetricRow]:
        weighted = ensembles.weighted()
        rows = []
        for scope, combined in (
            ("ensemble_uniform", ensembles.uniform()),
            ("ensemble_weighted", weighted),
            ("ensemble_oracle", ensembles.oracle()),
        ):
            rows.extend(self._rows(round, scope, {split: combined}))
        if split in student:
            agreement = self.task.agreement(student[split], weighted)
            rows.append(
                metric(round=round, scope="student", split=split, metric="agreement", value=agreement)
            )
        return rows

    def _clients(
        self,
        round: int,  # noqa: A002
        split: str,
        measured: Mapping[int, Mapping[str, float]],
    ) -> list[MetricRow]:
        rows = [
            metric(
                round=round, scope="client", split=split, metric=name, value=values.get(name), client=client
            )
            for client, values in measured.items()
            for name in (self.task.score, "loss")
        ]
        for name in next(iter(measured.values()), {}):
            known = [
                values[name] for values in measured.values() if not math.isnan(values.get(name, math.nan))
            ]
            if known:
                worst = min(known) if name in self.task.larger_is_better else max(known)
                mean = math.fsum(known) / len(known)
                rows.append(metric(round=round, scope="clients_mean", split=split, metric=name, value=mean))
                rows.append(metric(round=round, scope="clients_worst", split=split, metric=name, value=worst))
        return rows


def final_values(rows: Sequence[MetricRow]) -> dict[str, float | None]:
    """Return the last value of every `<scope>/<split>/<metric>`, without the single clients."""
    return {
        f"{row['scope']}/{row['split']}/{row['metric']}": row["value"]
        for row in rows
        if row["client"] is None
    }
