from rich.console import Console

from fedkd.reporting.table import final_table


def lines(final: dict[str, float | None]) -> list[str]:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(final_table(final))
    return [
        " ".join(line.strip("│┃ ").replace("│", " ").replace("┃", " ").split())
        for line in captured.get().splitlines()
    ]


def test_scopes_come_in_reading_order_with_a_column_for_each_split() -> None:
    found = lines(
        {
            "pooled/test/accuracy": 0.97,
            "clients_mean/own/accuracy": 0.91,
            "clients_mean/test/accuracy": None,
            "student/test/accuracy": 0.84321,
            "student/validation/accuracy": 0.85,
            "student/test/loss": 3.0,
        }
    )
    assert found[0] == "accuracy after the last round"
    assert "scope validation test clients' own data" in found
    body = [line for line in found if line.startswith(("student", "clients, mean", "pooled"))]
    assert body == ["student 0.8500 0.8432 -", "clients, mean - - 0.9100", "pooled data - 0.9700 -"]


def test_a_regression_is_shown_in_r_squared_and_unknown_scopes_are_kept() -> None:
    found = lines({"student/test/r2": 0.4, "student/test/rmse": 52.0, "my_scope/test/r2": 0.1})
    assert found[0].startswith("R\N{SUPERSCRIPT TWO} after")
    assert "my scope 0.1000" in found
    assert not any("52" in line for line in found)
