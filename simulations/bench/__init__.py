"""The benchmark room: workloads, contestants, a parity check of the weights before any timing. `python -m simulations.bench`."""
