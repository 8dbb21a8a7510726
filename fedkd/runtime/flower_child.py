"""Run one of Flower's commands in this process, and end it when the process that started it is gone.

Flower's SuperLink outlives whoever started it, so after a `kill -9` of a run its server app would go on writing into
the run folder. Here the starter holds the other end of standard input: however it ends, the pipe closes.

    python -m fedkd.runtime.flower_child flower-superlink --insecure --simulation
"""

import os
import signal
import sys
import threading
from importlib.metadata import distribution


def end_with_starter() -> None:
    """Wait until standard input is closed, then ask this process to end."""
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the command named by the first argument, one of the scripts of Flower's distribution."""
    threading.Thread(target=end_with_starter, daemon=True).start()
    del sys.argv[0]
    [command] = distribution("flwr").entry_points.select(group="console_scripts", name=sys.argv[0])
    command.load()()


if __name__ == "__main__":
    main()
