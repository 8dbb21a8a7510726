"""Running, resuming and sweeping: what the command line and `fedkd.run` call.

>>> result = run("method=dsfl", "partition.alpha=0.1", rounds=5, runtime="inline")
>>> result.final["student/test/accuracy"]
0.93
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fedkd.assembly.apps import CONFIG, client_app, make_server_app
from fedkd.assembly.baselines import add_baselines
from fedkd.assembly.compose import compose
from fedkd.assembly.experiment import Experiment
from fedkd.assembly.folders import fresh_folder
from fedkd.foundation.run_folder import RunFolder
from fedkd.foundation.watching import Silent, Watcher
from fedkd.runtime.runtimes.base import FOLDER, Federation


@dataclass(frozen=True)
class Result:
    """A run that is over.

    Args:
        folder: the run folder.
        summary: what `summary.json` holds.
    """

    folder: Path
    summary: Mapping[str, Any] = field(repr=False)

    @property
    def final(self) -> Mapping[str, float | None]:
        """The last value of every `<scope>/<split>/<metric>`."""
        return self.summary["final"]  # type: ignore[no-any-return]

    @cached_property
    def frame(self) -> Any:
        """The tidy frame of the run's metrics, as `load_runs` gives it."""
        from fedkd.reporting.frames import load_runs

        return load_runs(self.folder)


def run(
    *overrides: str, watcher: Watcher | None = None, config_dir: Path | str | None = None, **options: object
) -> Result:
    """Run one experiment and return its result.

    Args:
        overrides: as on the command line: `"method=dsfl"`, `"partition.alpha=0.1"`.
        watcher: told how the run goes; none says nothing.
        config_dir: a folder of recipes of one's own.
        options: further overrides by keyword, for keys without a dot: `rounds=3, seed=1`.

    Raises:
        FedkdError: whatever stands in the way, in one line.
    """
    given = [*overrides, *(f"{key}={_word(value)}" for key, value in options.items())]
    experiment = Experiment.from_config(compose(given, own=None if config_dir is None else Path(config_dir)))
    return start(experiment, watcher)


def start(experiment: Experiment, watcher: Watcher | None = None) -> Result:
    """Run an experiment in a new folder; if it fails before anything was recorded, the folder is gone again."""
    with fresh_folder(experiment) as folder:
        return _carry_on(folder, experiment, watcher)


def resume(path: Path | str, watcher: Watcher | None = None) -> Result:
    """Continue a run from its last checkpoint; a run that is complete is summarised again."""
    folder = RunFolder.open(Path(path))
    return _carry_on(folder, Experiment.from_config(folder.config()), watcher)


def _carry_on(folder: RunFolder, experiment: Experiment, watcher: Watcher | None) -> Result:
    watcher = watcher or Silent()
    config = dict(experiment.resolved)
    if not experiment.runtime.keeps_client_states and experiment.method.remembers:
        checkpoint = folder.load_checkpoint()
        if checkpoint is not None and checkpoint.round < experiment.settings.rounds:
            folder.forget_checkpoints()

    def say(text: str) -> None:
        folder.log(text)
        watcher.message(text)

    federation = Federation(
        server=make_server_app(watcher),
        client=client_app,
        num_clients=1 if experiment.method.pool else experiment.settings.clients,
        run_config={FOLDER: str(folder.path.resolve()), CONFIG: json.dumps(config)},
        say=say,
        note=folder.log,
    )
    experiment.runtime.execute(federation)
    if experiment.baselines:
        add_baselines(folder, experiment, run_one=start, say=say)
    _draw(folder.path)
    return Result(folder.path, folder.read_json("summary.json"))


def _draw(folder: Path) -> None:
    """Draw the pictures of a run; the libraries for it are imported now, so that no first round waits for them."""
    from fedkd.reporting.pictures import draw_run

    draw_run(folder)


def _word(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_word(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_word(inner) for inner in value) + "]"
    text = str(value)
    if (
        isinstance(value, str | Path)
        and not text.replace("_", "").replace("-", "").replace(".", "").replace("/", "").isalnum()
    ):
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return text
