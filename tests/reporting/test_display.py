import io

import pytest
from rich.console import Console

from fedkd.foundation.watching import Silent, Watcher
from fedkd.reporting.display import LiveDisplay, PlainDisplay, display_for


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=80, color_system=None), out


def run(display: Watcher) -> None:
    display.start(total_rounds=2, clients_per_round=3)
    display.round_done(0, {"student": 0.1}, 0, 0)
    for number in (1, 2):
        display.phase(number, "train", total=3)
        for _ in range(3):
            display.advance()
        display.message(f"client 7 returned NaN [in round {number}]")
        display.phase(number, "distil", total=None)
        display.round_done(
            number, {"student": 0.8 + number / 100, "ensemble": 0.84}, bytes_up=1500, bytes_down=2_000_000
        )
    display.stop()
    display.stop()


def test_without_a_terminal_each_round_is_one_line() -> None:
    target, out = console(terminal=False)
    display = display_for(target)
    assert isinstance(display, PlainDisplay)
    run(display)
    said = out.getvalue().splitlines()
    assert said[0] == "2 rounds of 3 clients"
    assert said[1] == "round 0/2  student 0.100"
    assert said[2] == "client 7 returned NaN [in round 1]"
    assert said[3].startswith("round 1/2  student 0.810  ensemble 0.840  up 1.5 kB  down 2 MB  ")
    assert said[3].endswith(" s left")
    assert said[5] == "round 2/2  student 0.820  ensemble 0.840  up 1.5 kB  down 2 MB"
    assert len(said) == 6


def test_a_resumed_run_says_how_much_is_done() -> None:
    target, out = console(terminal=False)
    PlainDisplay(target).start(total_rounds=9, clients_per_round=3, done=4)
    assert out.getvalue() == "9 rounds of 3 clients, 4 of them done before\n"


def test_a_terminal_shows_rounds_phase_scores_and_bytes_so_far() -> None:
    target, out = console(terminal=True)
    display = display_for(target)
    assert isinstance(display, LiveDisplay)
    run(display)
    said = out.getvalue()
    assert "client 7 returned NaN [in round 2]" in said
    final = said[said.rindex("rounds") :]
    assert "2/2" in final
    assert "student 0.820  ensemble 0.840  up 3 kB  down 4 MB" in final


def test_the_phase_bar_counts_clients() -> None:
    target, out = console(terminal=True)
    display = LiveDisplay(target)
    display.start(total_rounds=2, clients_per_round=3)
    display.phase(1, "train", total=3)
    display.advance(2)
    display._live.refresh()
    display.stop()
    assert "round 1: train" in out.getvalue()
    assert "2/3" in out.getvalue()


def test_the_null_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(Silent())
    assert capsys.readouterr() == ("", "")
