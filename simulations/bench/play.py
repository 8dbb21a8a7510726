"""One contestant's process: `python -m simulations.bench.play PEER FOLDER`. Runs in fedkd's environment or in a peer's own."""

import importlib
import sys
from pathlib import Path

import torch

from simulations.bench.job import Job


def main() -> None:
    """Do the job that lies in the folder, and leave the answer there."""
    torch.set_num_threads(1)
    peer, folder = sys.argv[1], Path(sys.argv[2])
    job = Job.read(folder)
    played = importlib.import_module(f"simulations.bench.peers.{peer}").play(job)
    if played is not None:
        played.write(folder)


if __name__ == "__main__":
    main()
