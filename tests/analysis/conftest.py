"""One kernel for the notebooks of tasks and objectives: each begins with an empty namespace, but PyTorch is imported once."""

from collections.abc import Callable, Iterator

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

Execute = Callable[[nbformat.NotebookNode], None]


@pytest.fixture(scope="session")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """Return what runs a notebook in a folder of its own; the kernel ends with the session."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path_factory.mktemp("notebooks")))

    def run(notebook: nbformat.NotebookNode) -> None:
        notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
        client = NotebookClient(notebook, km=manager, timeout=240)
        try:
            client.execute()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
                client.kc.context.destroy()

    yield run
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
    manager.context.destroy()
