"""Evaluation of a round: the student, the ensembles of its teachers, and the clients, on validation, test and own data.

Clients are asked by ordinary evaluate messages for their outputs on the global splits. That is the simulator's own
diagnosis, not part of any method: the ledger counts it apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import Message, RecordDict
from torch import Tensor, nn

from fedkd.data.samples import Samples
from fedkd.foundation.run_folder import MetricRow, metric
from fedkd.knowledge import BadPackage
from fedkd.models.base import predict
from fedkd.tasks import Task

PREDICTIONS, METRICS = "predictions", "metrics"


@dataclass(frozen=True)
class Evaluation:
    """Says how good everyone is after a round.

    Args:
        task: what outputs mean.
        splits: the global data by name; `validation` chooses, `test` reports.
    """

    task: Task
    splits: Mapping[str, Samples]

    def student(self, round: int, network: nn.Module) -> tuple[list[MetricRow], dict[str, Tensor]]:  # noqa: A002
        """Return the student's metrics on every global split, and its outputs."""
        outputs = {split: predict(network, samples.inputs) for split, samples in self.splits.items()}
        return self._rows(round, "student", outputs), outputs

    def teachers(
        self,
        round: int,  # noqa: A002
        replies: Mapping[int, RecordDict],
        weights: Mapping[int, float] | None,
        student: Mapping[str, Tensor],
    ) -> list[MetricRow]:
        """Return the metrics of the ensembles and of the clients.

        Args:
            round: the round that was just trained.
            replies: the clients' evaluate replies, by client.
            weights: how much each client counted; none counts all alike.
            student: the student's outputs by split, empty without a student.
        """
        rows: list[MetricRow] = []
        per_client: dict[str, dict[int, dict[str, float]]] = {}
        for split, samples in self.splits.items():
            said = {client: _outputs(content, split) for client, content in replies.items()}
            alive = {client: outputs for client, outputs in said.items() if not self.task.has_died(outputs)}
            dead = len(said) - len(alive)
            rows.append(metric(round=round, scope="clients_mean", split=split, metric="dead", value=dead))
            if alive:
                rows += self._ensembles(round, split, samples, alive, weights, student)
            per_client[split] = {
                client: self.task.metrics(outputs, samples.targets) for client, outputs in said.items()
            }
        per_client["own"] = {client: _own(content) for client, content in replies.items()}
        for split, measured in per_client.items():
            rows += self._clients(round, split, measured)
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
            if len(shape) != 2 or shape[0] != len(samples):
                raise BadPackage(
                    f"sent outputs of shape {list(shape)} on {split}, expected {len(samples)} rows"
                )

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
        samples: Samples,
        said: Mapping[int, Tensor],
        weights: Mapping[int, float] | None,
        student: Mapping[str, Tensor],
    ) -> list[MetricRow]:
        outputs = torch.stack(list(said.values()))
        alike = torch.full((len(said),), 1.0 / len(said))
        counted = torch.tensor([weights.get(client, 0.0) for client in said]) if weights else alike
        counted = counted / counted.sum() if float(counted.sum()) > 0 else alike
        uniform, weighted = self.task.combine(outputs, alike), self.task.combine(outputs, counted)
        best, loss = outputs[0], self.task.supervised(outputs[0], samples.targets)
        for teacher in outputs[1:]:
            best, loss = self.task.oracle(best, loss, teacher, samples.targets)
        rows = []
        for scope, combined in (
            ("ensemble_uniform", uniform),
            ("ensemble_weighted", weighted),
            ("ensemble_oracle", best),
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


def _outputs(content: RecordDict, split: str) -> Tensor:
    return torch.from_numpy(np.array(content.array_records[PREDICTIONS][split].numpy()))


def _own(content: RecordDict) -> dict[str, float]:
    record = content.metric_records[METRICS]
    return {name: float(str(value)) for name, value in record.items() if name != "num-examples"}
