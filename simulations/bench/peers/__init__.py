"""Contestants: one file for each peer. A new peer is a new file with `CONTESTANTS` and `play` (see `simulations/bench/job.py`)."""
