"""All pictures, and the ones that every run draws of itself.

>>> draw_run("runs/demo/20300102-030405-1f3a")
[PosixPath('runs/demo/20300102-030405-1f3a/pictures/accuracy_by_round.png'), ...]
"""

import io
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fedkd.foundation.durable import write_atomically
from fedkd.foundation.run_folder import PARTITION, RunFolder
from fedkd.reporting.canvas import INK
from fedkd.reporting.curves import accuracy_by_bytes, accuracy_by_round, seeds_band
from fedkd.reporting.frames import load_ledger, load_runs
from fedkd.reporting.spreads import clients_spread, decomposition, partition_picture

__all__ = [
    "accuracy_by_round",
    "accuracy_by_bytes",
    "clients_spread",
    "partition_picture",
    "decomposition",
    "seeds_band",
    "draw_run",
]


def draw_run(path: str | Path) -> list[Path]:
    """Draw the pictures of one run into its folder and return where they are.

    Raises:
        RunFolderError: there is no run, it has no metrics yet, or the pictures cannot be written.
    """
    folder = RunFolder.open(Path(path))
    frame, ledger = load_runs(folder.path), load_ledger(folder.path)
    figures = {
        "accuracy_by_round": accuracy_by_round(frame),
        "accuracy_by_bytes": accuracy_by_bytes(frame, ledger),
        "clients_spread": clients_spread(frame),
    }
    if (folder.path / PARTITION).exists():
        figures["partition"] = partition_picture(folder.read_json(PARTITION))
    title = _title(frame)
    for figure in figures.values():
        figure.axes[0].set_title(title, loc="left", fontsize=9, color=INK)
    return [_save(figure, folder.pictures_dir / f"{name}.png") for name, figure in figures.items()]


def _title(frame: pd.DataFrame) -> str:
    run = frame.iloc[0]
    words = [str(run[name]) for name in ("method", "data") if name in frame]
    if "partition" in frame:
        alpha = (
            f"({run['partition.alpha']:g})"
            if "partition.alpha" in frame and run["partition.alpha"] is not None
            else ""
        )
        words.append(f"{run['partition']}{alpha}")
    words += [
        template.format(run[name])
        for name, template in (("clients", "{} clients"), ("seed", "seed {}"))
        if name in frame
    ]
    return ", ".join(words)


def _save(figure: Figure, path: Path) -> Path:
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_atomically(path, image.getvalue())
    return path
