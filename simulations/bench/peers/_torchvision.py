"""An empty torchvision for peers that import it for their own data sets and networks, of which this work uses none.

The wheel of torchvision on the package index is built for CUDA and does not load beside a CPU build of torch.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from unittest.mock import MagicMock


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: object = None, target: object = None):  # noqa: ANN202
        del path, target
        known = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.__getattr__ = _stand_in  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


def _stand_in(name: str) -> object:
    """Return something that can be derived from, called, and asked for anything."""
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {}) if name[0].isupper() else MagicMock(name=name)


def stand_in() -> None:
    """Let `import torchvision` give the empty one from here on."""
    sys.meta_path.insert(0, _Finder())
