"""The runtime: grids that carry a Flower app's messages, and the loop that runs and records a whole federation."""
