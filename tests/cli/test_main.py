"""The command itself: quick, and honest about what it does not know."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fedkd

Command = Callable[..., Any]

HEAVY = ("torch", "ray", "flwr", "pandas", "matplotlib", "hydra", "numpy", "sklearn")


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


def test_the_first_round_waits_for_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    code = f"""
import sys
import fedkd
from fedkd.foundation.watching import Silent

class Watcher(Silent):
    def round_done(self, *given):
        print("HEAVY", [name for name in ("matplotlib", "pandas", "ray", "scipy", "sklearn") if name in sys.modules])

small = ("data.samples=200", "proxy.size=20", "clients=2", "method.client.fit.epochs=1", "rounds=1")
fedkd.run(*small, output={str(tmp_path / "run")!r}, runtime="inline", watcher=Watcher())
"""
    said = python(code)
    assert said.returncode == 0, said.stderr
    assert "HEAVY []" in said.stdout


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from fedkd.cli.main import main
assert main(["--help"]) == 0
print("HEAVY", [name for name in {HEAVY} if name in sys.modules])
"""
    done = python(code)
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr
    assert "resume" in done.stdout


def test_importing_fedkd_imports_nothing_heavy() -> None:
    done = python(
        f"import sys, fedkd; print([name for name in {(*HEAVY, 'rich', 'typer')} if name in sys.modules])"
    )
    assert done.stdout == "[]\n"


def test_the_version_is_that_of_the_package(command: Command) -> None:
    assert command("--version").out == f"fedkd {fedkd.__version__}\n"


def test_without_a_command_the_help_is_shown(command: Command) -> None:
    said = command()
    assert said.code == 0
    assert "Usage: fedkd" in said.out


def test_a_wrong_switch_exits_with_2_and_points_at_the_help(command: Command) -> None:
    said = command("run", "--foo")
    assert said.code == 2
    assert said.err == "fedkd: No such option: --foo. See `fedkd run --help`\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fedkd.cli", "list", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("fedkd: list: got 'nothing'")


def test_the_help_of_run_explains_every_key_and_group(command: Command) -> None:
    from fedkd.assembly.compose import GROUPS, recipes
    from fedkd.assembly.settings import Settings
    from fedkd.foundation.parts import options_of

    said = command("run", "--help")
    assert said.code == 0
    for option in options_of(Settings):
        assert f" {option.name} " in said.out
    for group in GROUPS:
        assert f"\n{group} " in said.out
        for recipe in recipes(group):
            assert f" {recipe} " in said.out
    assert "fedkd list fusions" in said.out or "`fedkd list`" in said.out


@pytest.mark.parametrize("error", [ValueError("two\nlines"), OSError(28, "No space left on device", "place")])
def test_an_unforeseen_error_is_one_line_with_a_hint(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedkd.cli.failures import in_one_line

    def fail() -> None:
        raise error

    monkeypatch.delenv("FEDKD_DEBUG", raising=False)
    assert in_one_line(fail) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ("FEDKD_DEBUG=1" in said) == isinstance(error, ValueError)
    monkeypatch.setenv("FEDKD_DEBUG", "1")
    with pytest.raises(type(error)):
        in_one_line(fail)


def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from fedkd.cli.failures import in_one_line

    def command() -> None:
        warnings.warn("two packages\noffer it", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert in_one_line(command) == 0
    assert capsys.readouterr().err == "fedkd: warning: two packages offer it\n"
