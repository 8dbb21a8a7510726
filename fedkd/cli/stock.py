"""`fedkd data`: the data sets and published weights, and bringing them here."""

import typer
from rich.console import Console
from rich.table import Table

from fedkd.cli.failures import say
from fedkd.data.fetch import fetch, inventory
from fedkd.foundation.errors import DataUnavailable, FedkdError, InvalidOption


def fetch_sets(names: list[str], *, everything: bool) -> int:
    """Fetch data sets and weights one after the other; return 0, or the exit code of the last that could not be had.

    Raises:
        InvalidOption: no name was given.
    """
    known = [row.name for row in inventory()]
    if not names and not everything:
        raise InvalidOption("data fetch", "nothing", f"a NAME of {', '.join(known)}, or --all")
    code = 0
    for name in known if everything else names:
        try:
            typer.echo(f"{name}: {fetch(name)}")
        except DataUnavailable as error:
            code = say(str(error), error.exit_code)
        except FedkdError as error:
            if not everything:
                raise
            code = say(str(error), error.exit_code)  # a broken plug-in keeps no other set away
    return code


def list_sets() -> None:
    """Write a row for each data set, and for the weights of networks."""
    table = Table("name", "task", "size", "where from", "licence", "here")
    for row in inventory():
        table.add_row(row.name, row.task, row.size, row.origin, row.licence, "yes" if row.present else "no")
    Console().print(table)
