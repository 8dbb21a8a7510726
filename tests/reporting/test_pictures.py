import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from fedkd.foundation.errors import InvalidOption, RunFolderError
from fedkd.foundation.run_folder import RunFolder, metric
from fedkd.reporting.frames import load_ledger, load_runs
from fedkd.reporting.pictures import (
    accuracy_by_bytes,
    accuracy_by_round,
    clients_spread,
    decomposition,
    draw_run,
    partition_picture,
    seeds_band,
)

MakeRun = Callable[..., RunFolder]


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def drawn(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    image = imread(path)
    assert image.std() > 0.01
    return path


def test_a_run_draws_its_four_pictures_into_its_folder(make_run: MakeRun) -> None:
    folder = make_run()
    paths = draw_run(folder.path)
    assert [path.name for path in paths] == [
        "accuracy_by_round.png",
        "accuracy_by_bytes.png",
        "clients_spread.png",
        "partition.png",
    ]
    assert sorted(folder.pictures_dir.iterdir()) == sorted(paths)
    assert all(imread(path).std() > 0.01 for path in paths)


def test_drawing_leaves_pyplot_alone(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    draw_run(make_run(rounds=1).path)


def test_a_run_without_metrics_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no metric was recorded yet"):
        draw_run(RunFolder.create(tmp_path / "a", {}, {}).path)


def test_accuracy_by_round_has_student_ensembles_and_the_clients_band(
    make_run: MakeRun, tmp_path: Path
) -> None:
    figure = accuracy_by_round(load_runs(make_run().path))
    assert labels(figure) == [
        "student",
        "ensemble, weighted",
        "ensemble, uniform",
        "ensemble, oracle",
        "clients, mean",
        "clients, worst to best",
    ]
    drawn(figure, tmp_path / "rounds.png")


def test_accuracy_by_bytes_counts_what_was_shipped_once_and_leaves_evaluation_out(
    make_run: MakeRun, tmp_path: Path
) -> None:
    folder = make_run(rounds=4, clients=10, size=50_000)
    figure = accuracy_by_bytes(load_runs(folder.path), load_ledger(folder.path))
    across = figure.axes[0].lines[0].get_xdata()
    assert np.allclose(across, [0.256, 1.256, 2.256, 3.256, 4.256])
    assert "MB" in figure.axes[0].get_xlabel()
    drawn(figure, tmp_path / "bytes.png")


def test_bytes_of_rounds_without_a_score_still_count(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a", {"method": "feddf", "seed": 0}, {})
    folder.append_metrics(
        metric(round=number, scope="student", split="test", metric="accuracy", value=0.5)
        for number in (0, 2, 4)
    )
    folder.append_ledger(
        {"round": number, "phase": "train", "client": 0, "direction": "up", "bytes": 100, "payload": 90}
        for number in (1, 2, 3, 4)
    )
    figure = accuracy_by_bytes(load_runs(folder.path), load_ledger(folder.path))
    assert list(figure.axes[0].lines[0].get_xdata()) == [0, 200, 400]


def test_runs_of_one_method_share_a_legend_entry(make_run: MakeRun, tmp_path: Path) -> None:
    for seed in range(2):
        make_run(f"dsfl{seed}", seed=seed)
        make_run(f"fedavg{seed}", seed=seed, method="fedavg", size=90_000, level=0.03)
    figure = accuracy_by_bytes(load_runs(tmp_path), load_ledger(tmp_path))
    assert labels(figure) == ["dsfl, student", "fedavg, student"]
    assert len(figure.axes[0].lines) == 4
    drawn(figure, tmp_path / "methods.png")


def test_the_spread_has_own_and_common_data_with_a_dot_for_each_client(
    make_run: MakeRun, tmp_path: Path
) -> None:
    figure = clients_spread(load_runs(make_run(clients=30).path))
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["own data", "common test data"]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [30, 30]
    drawn(figure, tmp_path / "spread.png")


@pytest.mark.parametrize("clients", [1, 12, 50, 300])
def test_a_partition_of_any_number_of_clients_is_drawn(tmp_path: Path, clients: int) -> None:
    counts = np.random.Generator(np.random.PCG64(0)).multinomial(100, [0.1] * 10, size=clients)
    figure = partition_picture({"counts": counts.tolist()})
    assert bool(figure.axes[0].images) == (clients > 50)
    drawn(figure, tmp_path / "partition.png")


def test_a_partition_of_texts_is_drawn_by_size_alone(tmp_path: Path) -> None:
    figure = partition_picture({"sizes": [10, 20, 5]})
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["samples"]
    drawn(figure, tmp_path / "texts.png")


def test_a_partition_of_a_regression_is_drawn_by_size_and_mean_target(tmp_path: Path) -> None:
    figure = partition_picture({"sizes": [10, 20, 5], "target_means": [0.1, -0.4, None]})
    assert figure.axes[0].get_ylabel() == "mean target of a client"
    drawn(figure, tmp_path / "regression.png")


def test_the_decomposition_goes_from_teachers_over_the_ensembles_to_student_and_baselines(
    make_run: MakeRun, tmp_path: Path
) -> None:
    figure = decomposition(load_runs(make_run().path))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "clients, mean",
        "ensemble, uniform",
        "ensemble, weighted",
        "ensemble, oracle",
        "student",
        "local only",
        "proxy labels",
        "pseudo-labels",
        "FedAvg",
        "pooled data",
    ]
    drawn(figure, tmp_path / "decomposition.png")


def test_the_band_over_seeds_is_the_t_interval(tmp_path: Path) -> None:
    values = {0: 0.5, 1: 0.6, 2: 0.7}
    for seed, value in values.items():
        folder = RunFolder.create(tmp_path / str(seed), {"method": "fd", "seed": seed}, {})
        folder.append_metrics(
            metric(round=number, scope="clients_mean", split="test", metric="accuracy", value=value)
            for number in (0, 1)
        )
    figure = seeds_band(load_runs(tmp_path))
    heights = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    reach = 4.302652729911275 * 0.1 / np.sqrt(3)  # t(0.975, 2 degrees of freedom) from a printed table: 4.303
    assert np.isclose(heights.min(), 0.6 - reach)
    assert np.isclose(heights.max(), 0.6 + reach)
    assert labels(figure) == ["fd (3 seeds)"]


def test_the_band_refuses_to_mix_what_is_not_a_seed(make_run: MakeRun, tmp_path: Path) -> None:
    for alpha in (0.1, 1.0):
        for seed in range(3):
            make_run(f"{alpha}-{seed}", alpha=alpha, seed=seed, level=0.1 * (alpha > 0.5))
    frame = load_runs(tmp_path)
    with pytest.raises(InvalidOption, match="one run of each seed"):
        seeds_band(frame)
    with pytest.raises(InvalidOption, match="by: got 'colour', allowed is a column"):
        seeds_band(frame, by="colour")
    figure = seeds_band(frame, by=["method", "partition.alpha"])
    assert labels(figure) == ["dsfl, 0.1 (3 seeds)", "dsfl, 1.0 (3 seeds)"]
    drawn(figure, tmp_path / "seeds.png")


def test_a_regression_is_drawn_in_r_squared(make_run: MakeRun, tmp_path: Path) -> None:
    frame = load_runs(make_run(measured="r2", level=-0.5).path)
    assert accuracy_by_round(frame).axes[0].get_ylabel() == "R\N{SUPERSCRIPT TWO} (test data)"
    drawn(decomposition(frame), tmp_path / "decomposition.png")


def test_a_run_without_student_or_clients_is_drawn_all_the_same(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "fd", {"method": "fd", "seed": 0}, {})
    folder.append_metrics([metric(round=1, scope="clients_mean", split="test", metric="accuracy", value=0.5)])
    assert [path.stem for path in draw_run(folder.path)] == [
        "accuracy_by_round",
        "accuracy_by_bytes",
        "clients_spread",
    ]
    assert labels(accuracy_by_bytes(load_runs(folder.path), load_ledger(folder.path))) == [
        "fd, clients, mean"
    ]


def test_a_hopeless_start_of_a_regression_does_not_hide_what_follows(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a", {"method": "fedmd", "seed": 0}, {})
    folder.append_metrics(
        metric(round=number, scope="student", split="test", metric="r2", value=value)
        for number, value in enumerate((-500.0, 0.1, 0.4))
    )
    assert accuracy_by_round(load_runs(folder.path)).axes[0].get_ylim()[0] == -1.0
