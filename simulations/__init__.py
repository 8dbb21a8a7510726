"""Studies and benchmarks: each file says what it claims, runs it, and prints the table. Run one with `python -m simulations.NAME`."""
