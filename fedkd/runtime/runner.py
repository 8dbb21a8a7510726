"""The loop over rounds: train, aggregate, evaluate, record, checkpoint. The same under every runtime.

The strategy is a plain Flower strategy; here is what a simulation adds to Flower's own loop: the ledger, the evaluation
scopes, and a run folder that can be resumed after a crash at any byte.
"""

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import safetensors.torch
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.serverapp import Grid
from torch import Tensor, nn

from fedkd.foundation.errors import RoundFailed
from fedkd.foundation.garbage import old_objects_frozen
from fedkd.foundation.run_folder import MetricRow, RunFolder, TimingRow, metric
from fedkd.foundation.threads import threads
from fedkd.foundation.watching import Watcher
from fedkd.knowledge import BadPackage
from fedkd.runtime.evaluation import Evaluation
from fedkd.runtime.flower_internals import deserialise, serialise
from fedkd.runtime.grid import NO_ANSWER, LocalGrid
from fedkd.runtime.ledger import Ledger, Phase
from fedkd.strategies import Federated


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Args:
        rounds: how many.
        clients_per_round: for the display.
        evaluate_every: rounds between evaluations; the last round is always evaluated.
        threads: threads of PyTorch for the server's own work, while no client works.
        client_timeout: seconds to wait for a round's replies; none waits for ever.
        proxy_bytes: size of the proxy set, which is shipped once; 0 without one.
    """

    rounds: int
    clients_per_round: int
    evaluate_every: int = 1
    threads: int = 1
    client_timeout: float | None = None
    proxy_bytes: int = 0


@dataclass
class Progress:
    """Where a run stands: the student's weights, and the rounds that are done."""

    arrays: ArrayRecord
    done: int = -1


class Runner:
    """Runs a strategy on a grid and records it.

    Args:
        strategy: the server side.
        student: the network that is reported, with its initial weights; none for methods without a student.
        evaluation: says how good everyone is.
        plan: how the run goes.
        folder: where it is recorded.
        watcher: who watches.
    """

    def __init__(
        self,
        strategy: Federated,
        student: nn.Module | None,
        evaluation: Evaluation,
        plan: Plan,
        folder: RunFolder,
        watcher: Watcher,
    ) -> None:
        self.strategy, self.student, self.evaluation = strategy, student, evaluation
        self.plan, self.folder, self.watcher = plan, folder, watcher
        self._ledger = Ledger()
        self._answered = 0.0  # when the last reply came
        self._timings: list[TimingRow] = []

    def run(self, grid: Grid) -> None:
        """Run to the last round, from the last checkpoint if there is one.

        Raises:
            RoundFailed: too few clients gave a usable answer; the folder holds everything up to the round before.
        """
        progress = self._restore(grid)
        self.watcher.start(self.plan.rounds, self.plan.clients_per_round, max(progress.done, 0))
        with threads(self.plan.threads), old_objects_frozen():
            if progress.done < 0:
                self._open(grid, progress)
            for current in range(progress.done + 1, self.plan.rounds + 1):
                try:
                    self._round(current, grid, progress)
                except RoundFailed as error:
                    self.folder.log(f"round {current} failed: {error}")
                    raise

    def _open(self, grid: Grid, progress: Progress) -> None:
        """Record round 0: the proxy set is shipped, the student knows nothing."""
        if self.plan.proxy_bytes:
            self._ledger.ship(self.plan.proxy_bytes)
        rows = self.evaluation.student(0, self.student)[0] if self.student is not None else []
        self._record(0, rows, grid, progress)

    def _round(self, current: int, grid: Grid, progress: Progress) -> None:
        last = current == self.plan.rounds
        evaluates = last or current % self.plan.evaluate_every == 0
        begun = time.perf_counter()
        config = ConfigRecord({"keep": evaluates})
        messages = list(self.strategy.configure_train(current, progress.arrays, config, grid))
        try:
            # The strategy takes each reply as it comes, while the other clients still train.
            with contextlib.closing(self._exchange(current, "train", messages, grid)) as replies:
                arrays, _ = self.strategy.aggregate_train(current, replies)
        finally:
            for failure in self.strategy.failures:
                self.say(f"round {current}: client {failure.client} is left out: {failure.reason}")
        progress.arrays = progress.arrays if arrays is None else arrays
        trained, aggregated = self._answered, time.perf_counter()
        rows = self._evaluate(current, grid, progress) if evaluates else []
        seconds = (
            ("train", trained - begun),
            ("aggregate", aggregated - trained),
            ("evaluate", time.perf_counter() - aggregated),
        )
        self._timings += [TimingRow(round=current, phase=phase, seconds=value) for phase, value in seconds]
        up, down = self._ledger.moved("up"), self._ledger.moved("down")
        self._record(current, rows, grid, progress)
        self.watcher.round_done(current, self._headline(rows), up, down)

    def _exchange(
        self, current: int, phase: Phase, messages: list[Message], grid: Grid
    ) -> Generator[Message, None, None]:
        """Yield the reply to each message in an order that does not depend on when it comes.

        Until the last one is taken, clients need the cores: whoever takes the replies works with one thread.
        """
        self.watcher.phase(current, phase, len(messages))
        for message in messages:
            client = self.strategy.client_of(message.metadata.dst_node_id)
            self._ledger.enter(current, phase, client=client, direction="down", content=message.content)
        # A grid of ours keeps such an order itself, so that no reply need be held.
        arrive = self._arrivals if isinstance(grid, LocalGrid) else self._sorted_arrivals
        with threads(1):
            for reply in arrive(messages, grid):
                if reply.has_content():
                    client = self.strategy.client_of(reply.metadata.src_node_id)
                    self._ledger.enter(current, phase, client=client, direction="up", content=reply.content)
                yield reply
                del reply  # nobody holds what has been taken
        self._answered = time.perf_counter()
        if phase == "train":
            self.watcher.phase(current, "fuse and distil", None)

    def _arrivals(self, messages: list[Message], grid: Grid) -> Iterator[Message]:
        for reply in grid.send_and_receive(messages, timeout=self.plan.client_timeout):
            self.watcher.advance()
            yield reply

    def _sorted_arrivals(self, messages: list[Message], grid: Grid) -> Iterator[Message]:
        """Yield replies and what stands for those that never came, sorted: Flower delivers in the order of arrival."""
        replies = list(self._arrivals(messages, grid))
        replies += self._unanswered(messages, replies)
        replies.sort(key=lambda reply: self.strategy.client_of(reply.metadata.src_node_id), reverse=True)
        while replies:
            yield replies.pop()

    def _unanswered(self, messages: list[Message], replies: list[Message]) -> list[Message]:
        """Return an error in the place of every reply that never came, so that it counts as a failure by name."""
        answered = {reply.metadata.src_node_id for reply in replies}
        seconds = self.plan.client_timeout
        reason = "no answer" if seconds is None else f"no answer within {seconds:g} s"
        return [
            Message(Error(NO_ANSWER, reason), reply_to=message)
            for message in messages
            if message.metadata.dst_node_id not in answered
        ]

    def _evaluate(self, current: int, grid: Grid, progress: Progress) -> list[MetricRow]:
        rows: list[MetricRow] = []
        said: dict[str, Tensor] = {}
        if self.student is not None:
            student = self.strategy.network_of(current, self.student)
            student.load_state_dict(progress.arrays.to_torch_state_dict())
            rows, said = self.evaluation.student(current, student)
            for scope, network in self.strategy.further().items():
                rows += self.evaluation.network(current, scope, network)[0]
        config = ConfigRecord({"splits": list(self.evaluation.splits)})
        messages = list(self.strategy.configure_evaluate(current, progress.arrays, config, grid))
        with contextlib.closing(self._exchange(current, "evaluate", messages, grid)) as replies:
            usable = self._usable(current, replies)
            return rows + self.evaluation.teachers(current, usable, self.strategy.teacher_weights(), said)

    def _usable(self, current: int, replies: Iterable[Message]) -> Iterator[tuple[int, RecordDict]]:
        """Yield each client with its evaluate reply, and name those whose reply cannot be used."""
        for reply in replies:
            client = self.strategy.client_of(reply.metadata.src_node_id)
            try:
                self.evaluation.require_usable(reply)
            except BadPackage as error:
                self.say(f"round {current}: client {client} is not evaluated: {error}")
            else:
                yield client, reply.content

    def _headline(self, rows: Iterable[MetricRow]) -> dict[str, float]:
        wanted = {"student": "student", "ensemble_uniform": "ensemble", "clients_mean": "clients"}
        return {
            wanted[row["scope"]]: row["value"]
            for row in rows
            if row["scope"] in wanted
            and row["split"] == "test"
            and row["metric"] == self.evaluation.task.score
            and row["value"] is not None
        }

    def say(self, text: str) -> None:
        """Tell the log and the watcher."""
        self.folder.log(text)
        self.watcher.message(text)

    def _record(self, current: int, rows: list[MetricRow], grid: Grid, progress: Progress) -> None:
        """Append the round's rows, then commit them with a checkpoint: until that stands, a resume forgets them."""
        left_out = len(self.strategy.failures)
        failures = metric(round=current, scope="round", split="train", metric="failures", value=left_out)
        accounts = [
            metric(round=current, scope="round", split="train", metric=name, value=value)
            for name, value in (self.strategy.accounts(current) if current else {}).items()
        ]
        self.folder.append_metrics([*rows, failures, *accounts])
        self.folder.append_ledger(self._ledger.take())
        self.folder.append_timings(self._timings)
        self._timings = []
        progress.done = current
        remembered = {name: tensor.contiguous() for name, tensor in self.strategy.state().items()}
        blobs = {
            "arrays": serialise(RecordDict({"arrays": progress.arrays})),
            "strategy": safetensors.torch.save(remembered),
        }
        changed = grid.take_changed_states() if isinstance(grid, LocalGrid) else {}
        self.folder.save_checkpoint(
            current, blobs, {client: serialise(state) for client, state in changed.items()}
        )

    def _restore(self, grid: Grid) -> Progress:
        initial = ArrayRecord(self.student.state_dict()) if self.student is not None else ArrayRecord()
        checkpoint = self.folder.load_checkpoint()
        if checkpoint is None:
            self.folder.truncate({})
            return Progress(initial)
        self.folder.truncate(checkpoint.offsets)
        if isinstance(grid, LocalGrid):
            grid.load_states((client, deserialise(data)) for client, data in checkpoint.clients.items())
        self.strategy.load_state(safetensors.torch.load(checkpoint.blobs["strategy"]))
        return Progress(deserialise(checkpoint.blobs["arrays"]).array_records["arrays"], checkpoint.round)
