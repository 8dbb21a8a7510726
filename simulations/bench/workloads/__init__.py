"""Workloads: one file each, with `TITLE` and `run(settings) -> list[Report]`. A new workload is a new file."""
