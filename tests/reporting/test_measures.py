import pytest

from fedkd.foundation.errors import RunFolderError
from fedkd.reporting.measures import primary_metric, report_split, size_words


def test_accuracy_counts_before_r_squared_and_r_squared_before_errors() -> None:
    assert primary_metric({"loss", "accuracy", "ece"}) == "accuracy"
    assert primary_metric({"rmse", "r2", "mae"}) == "r2"
    assert primary_metric({"hit_rate"}) == "hit_rate"


def test_nothing_measured_is_a_clear_error() -> None:
    with pytest.raises(RunFolderError, match="no metric was recorded yet"):
        primary_metric(set())


def test_reports_are_on_test_data_where_there_is_some() -> None:
    assert report_split({"validation", "test", "own"}) == "test"
    assert report_split({"validation", "own"}) == "validation"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_234_567, "1.23 MB"), (5e12, "5 TB")],
)
def test_sizes_have_three_digits_and_a_decimal_unit(size: float, words: str) -> None:
    assert size_words(size) == words
