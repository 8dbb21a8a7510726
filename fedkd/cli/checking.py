"""`fedkd run --check` and `fedkd check`: saying beforehand what will be, and whether a part keeps the contract."""

from collections.abc import Sequence
from pathlib import Path

import typer
import yaml

from fedkd.assembly.compose import compose, sweep
from fedkd.assembly.experiment import Experiment
from fedkd.cli.estimate import Estimate, cost_words, estimate_of
from fedkd.data.archive import is_cached
from fedkd.data.pretrained import archive_of, published_names
from fedkd.foundation.errors import RunFolderError
from fedkd.foundation.run_folder import holds_run
from fedkd.reporting.measures import size_words


def check_all(overrides: Sequence[str], *, own: Path | None, many: bool) -> None:
    """Print the resolved config and the cost of a run, or of each run of a sweep; what is printed is YAML."""
    for number, combination in enumerate(sweep(overrides, own=own) if many else [list(overrides)]):
        experiment = Experiment.from_config(compose(combination, own=own))
        output = experiment.settings.output
        if output is not None and holds_run(Path(output)):
            raise RunFolderError(
                f"{output}: holds a run already; continue it with `fedkd resume {output}`, or name another output"
            )
        if many:
            typer.echo(f"---\n# run {number}: {' '.join(combination)}")
        typer.echo(yaml.safe_dump(dict(experiment.resolved), sort_keys=False, allow_unicode=True).rstrip())
        typer.echo(
            "\n".join(
                f"# {line}".rstrip()
                for line in ["", *_words(estimate_of(experiment)), *_data_words(experiment)]
            )
        )


def check_part(reference: str) -> int:
    """Test a part of the user's own; return 0 if it keeps the contract."""
    from fedkd import testing  # not for `run --check`, which has no need of it

    results = testing.check(reference)
    for name, passed, message in results:
        typer.echo(f"{'ok    ' if passed else 'FAILED'} {name}" + (f": {message}" if message else ""))
    failed = sum(not passed for _, passed, _ in results)
    typer.echo(f"{reference}: {len(results) - failed} of {len(results)} hold")
    return 1 if failed else 0


def _words(estimate: Estimate) -> list[str]:
    """Return the estimate as lines."""
    lines = [
        "what this run costs:",
        *(f"  {name:<15} {words}" for name, words in cost_words(estimate.networks, estimate.student).items()),
        f"  client updates  {estimate.updates:,} in {estimate.rounds:,} rounds",
        f"  gradient steps  about {estimate.client_steps:,} of clients, at most {estimate.student_steps:,} of the server",
    ]
    for direction, rounds, total in (
        ("up", estimate.up, estimate.payload_up),
        ("down", estimate.down, estimate.payload_down),
    ):
        lines.append(f"  payload {direction:<7} {_payload_words(rounds, total, estimate)}")
    lines.append(f"  proxy set       {estimate.once:,} bytes ({size_words(estimate.once)}), once")
    return lines


def _payload_words(rounds: tuple[int, ...] | None, total: int | None, estimate: Estimate) -> str:
    if rounds is None or total is None:
        return "unknown for this kind of knowledge"
    later = f" from round {len(rounds)} on" if len(rounds) > 1 else ""
    ahead = "about " if estimate.averaged else "" if estimate.exact else "at most "
    return f"{ahead}{rounds[-1]:,} bytes a round{later}, {total:,} ({size_words(total)}) in all"


def _data_words(experiment: Experiment) -> list[str]:
    """Return lines on what has to be here: the data, and published weights with which clients begin."""
    wanted = {"data": {experiment.data.name(): experiment.data.archives()}}
    names = [place for place in experiment.method.strategy.trained if place in published_names()]
    wanted["weights"] = {name: (archive_of(name),) for name in names}
    return [
        f"  {kind:<15} {name}, "
        + ("on this machine" if all(is_cached(archive) for archive in archives) else "to be fetched first")
        for kind, own in wanted.items()
        for name, archives in own.items()
    ]
