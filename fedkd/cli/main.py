"""The `fedkd` command. Commands import what they need when they are called, so that `fedkd --help` is quick.

>>> main(["run", "method=feddf", "partition.alpha=0.1", "rounds=5", "output=runs/first"])
0
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import typer
from typer.core import TyperCommand

import fedkd

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Bring data sets and published weights to this machine, and list them.")
app.add_typer(data, name="data")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", show_default=False),
]
OwnRecipes = Annotated[
    Path | None,
    typer.Option(
        "--config-dir",
        metavar="DIR",
        help="Recipes of your own, laid out as method/mine.yaml",
        show_default=False,
    ),
]


class _ExplainedRun(TyperCommand):
    """The help of `fedkd run` also explains every key that a run takes."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what typer writes, then the keys."""
        super().format_help(ctx, formatter)
        from fedkd.cli.guide import explain_keys

        explain_keys()


@app.callback(invoke_without_command=True)
def fedkd_(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", is_eager=True)
    ] = False,
) -> None:
    """Federated and multi-teacher knowledge distillation, simulated on Flower, PyTorch and Ray."""
    if version:
        typer.echo(f"fedkd {fedkd.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)


@app.command(cls=_ExplainedRun)
def run(
    overrides: Overrides = None,
    multirun: Annotated[
        bool,
        typer.Option(
            "--multirun", "-m", help="Run every combination of values given with commas: seed=0,1,2"
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Validate, print the resolved config and what it costs, and end.")
    ] = False,
    config_dir: OwnRecipes = None,
) -> None:
    """Run a federation, or with -m several, and report how good everyone is in the end.

    KEY=VALUE chooses recipes and sets options: fedkd run method=feddf data=fashion_mnist partition.alpha=0.1 clients=20
    """
    given = overrides or []
    if check:
        from fedkd.cli.checking import check_all

        check_all(given, own=config_dir, many=multirun)
        return
    from fedkd.cli import running

    raise typer.Exit(running.sweep(given, own=config_dir) if multirun else running.run(given, own=config_dir))


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)],
) -> None:
    """Continue the run in folder DIR, which was stopped, from its last complete round."""
    from fedkd.cli import running

    raise typer.Exit(running.resume(folder))


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", show_default=False)] = None,
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="With methods: the page docs/methods.md, with equations and bytes."),
    ] = False,
    config_dir: OwnRecipes = None,
) -> None:
    """Explain what can be chosen: recipes and parts, with every option, its default, range and source.

    KIND is methods, datasets, partitions, proxies, models, engines, runtimes, clients, strategies, fusions, weightings, codecs,
    knowledge or baselines; without it all kinds are listed with their names.
    """
    from fedkd.cli.catalogue import list_kind, list_kinds, list_markdown

    if markdown:
        list_markdown(kind, own=config_dir)
    elif kind is None:
        list_kinds(own=config_dir)
    else:
        list_kind(kind, own=config_dir)


@app.command()
def check(
    reference: Annotated[str, typer.Argument(metavar="MODULE:CLASS", show_default=False)],
) -> None:
    """Test a part of your own against the contract that the built-in ones keep."""
    from fedkd.cli.checking import check_part

    raise typer.Exit(check_part(reference))


@app.command()
def calibrate(overrides: Overrides = None, config_dir: OwnRecipes = None) -> None:
    """Time both engines on this machine for the clients of a config, so that engine=auto chooses by measurement.

    KEY=VALUE as for `fedkd run`: fedkd calibrate data=fashion_mnist model=lenet
    """
    from fedkd.cli.calibrating import measure

    measure(overrides or [], own=config_dir)


@data.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything there is.")] = False,
) -> None:
    """Make sure that data sets, and published weights, are on this machine, and sound."""
    from fedkd.cli.stock import fetch_sets

    raise typer.Exit(fetch_sets(names or [], everything=everything))


@data.command("list")
def list_sets() -> None:
    """List data sets and published weights: where from, how large, under which licence, and whether they are here."""
    from fedkd.cli.stock import list_sets as write

    write()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong is one line on the error stream.

    Args:
        arguments: what stands after `fedkd` on the command line; none takes it from the process.
    """
    from fedkd.cli.failures import in_one_line

    # Parts of one's own are named as module:Class, and the module lies where the user stands, as with `python -m`.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return in_one_line(
        lambda: typer.main.get_command(app).main(arguments, prog_name="fedkd", standalone_mode=False)
    )
