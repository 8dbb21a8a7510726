"""Runs the app whose clients do nothing: `python -m simulations.bench.peers._noop ENGINE NODES COHORT ROUNDS FOLDER`.

ENGINE is `flower` for Flower's own, else a runtime of `fedkd.simulate`.
"""

import sys
from pathlib import Path

import fedkd
from fedkd.runtime.flower import AppRef, run_with_flower
from simulations.bench.apps import noop

APP = AppRef(server="noop:server_app", client="noop:client_app", code=Path(noop.__file__).parent)


def main() -> None:
    """Run the app; its server app leaves the seconds of each round in the folder."""
    engine, (nodes, cohort, rounds), folder = sys.argv[1], map(int, sys.argv[2:5]), Path(sys.argv[5])
    config = {"nodes": nodes, "cohort": cohort, "rounds": rounds, "fedkd-folder": str(folder)}
    if engine == "flower":
        run_with_flower(config, folder, num_clients=nodes, num_actors=2, app=APP)
    else:
        fedkd.simulate(
            noop.server_app,
            noop.client_app,
            nodes,
            runtime=engine,
            num_actors=2 if engine == "ray" else None,
            run_config=config,
        )


if __name__ == "__main__":
    main()
