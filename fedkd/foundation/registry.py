"""Finding parts by name: one module per part, named as the part; entry points and `module:Class` for everyone else's.

A family (fusions, clients, partitions, ...) is a package. Each of its modules whose name does not start with an
underscore and is not `base` is one part, and the part's name is the module's name. To add a part, add a file.

>>> FUSIONS = Family("fusion", "fedkd.aggregation.fusion", "Fusion", entry_points="fedkd.fusions")
>>> FUSIONS.names()
['era', 'mean_logits', ...]
"""

import contextlib
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.parts import build


class BrokenPlugin(InvalidOption):
    """A plug-in that was named and cannot be imported or is not a part of its family."""


@dataclass(frozen=True)
class Family:
    """All parts of one kind.

    Args:
        kind: what one of them is called, in the singular.
        package: dotted name of the package that holds the built-in parts.
        base: name of the base class, defined in `<package>.base`.
        entry_points: group of entry points under which other packages offer parts.
    """

    kind: str
    package: str
    base: str
    entry_points: str

    def names(self) -> list[str]:
        """Return every name that can be given, built-in and from entry points, sorted."""
        return sorted({*self._builtin(), *self._plugins()})

    def built_in(self) -> list[str]:
        """Return the names of the parts that need no other package, sorted."""
        return sorted(self._builtin())

    def find(self, name: str, *, key: str) -> type[Any]:
        """Return the class of a part by its name or by `module:Class`.

        Raises:
            InvalidOption: no part has this name.
            BrokenPlugin: the part exists and cannot be used.
        """
        if ":" in name:
            module, _, attribute = name.partition(":")
            return self._load(module, attribute, name, key)
        builtin = self._builtin()
        plugins = self._plugins()
        if name in builtin:
            if name in plugins:
                warnings.warn(
                    f"the {self.kind} {name!r} of {plugins[name].value} is hidden by the built-in one",
                    stacklevel=2,
                )
            return self._only_part(importlib.import_module(builtin[name]), name, key)
        if name in plugins:
            module, _, attribute = plugins[name].value.partition(":")
            return self._load(module, attribute, name, key)
        known = self.names()
        raise InvalidOption(key, name, f"one of {', '.join(known)}, or module:Class", nearest(name, known))

    def create(self, spec: str | Mapping[str, Any], *, key: str) -> Any:
        """Construct a part from its name, or from a mapping with `name` and its options."""
        options = {"name": spec} if isinstance(spec, str) else dict(spec)
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise InvalidOption(
                f"{key}.name", name, f"the name of a {self.kind}: one of {', '.join(self.names())}"
            )
        return build(self.find(name, key=f"{key}.name"), options, key=key)

    def _base(self) -> type[Any]:
        return getattr(importlib.import_module(f"{self.package}.base"), self.base)  # type: ignore[no-any-return]

    def _builtin(self) -> dict[str, str]:
        package = importlib.import_module(self.package)
        modules = [info.name for info in pkgutil.iter_modules(package.__path__)]
        return {
            name: f"{self.package}.{name}" for name in modules if name != "base" and not name.startswith("_")
        }

    def _plugins(self) -> dict[str, importlib.metadata.EntryPoint]:
        found: dict[str, importlib.metadata.EntryPoint] = {}
        for point in _installed(_search_path()).select(group=self.entry_points):
            if point.name in found and found[point.name].value != point.value:
                warnings.warn(
                    f"two packages offer the {self.kind} {point.name!r}: {found[point.name].value} is used, {point.value} is not",
                    stacklevel=2,
                )
                continue
            found[point.name] = point
        return found

    def _load(self, module: str, attribute: str, name: str, key: str) -> type[Any]:
        base = self._base()
        try:
            cls = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a plug-in may fail in any way, and must break nothing but itself
            raise BrokenPlugin(
                key,
                name,
                f"an importable {base.__name__}; this one fails with {type(error).__name__}: {error}",
            ) from error
        if not (inspect.isclass(cls) and issubclass(cls, base)):
            raise BrokenPlugin(key, name, f"a subclass of {base.__module__}.{base.__name__}")
        return cls

    def _only_part(self, module: Any, name: str, key: str) -> type[Any]:
        base = self._base()
        own = [
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, base)
            and cls.__module__ == module.__name__
            and not inspect.isabstract(cls)
            and not cls.__name__.startswith("_")
        ]
        if len(own) != 1:
            raise BrokenPlugin(
                key, name, f"a module with exactly one {base.__name__}; {module.__name__} has {len(own)}"
            )
        return own[0]


def _search_path() -> tuple[tuple[int, ...], ...]:
    """Return where packages are looked for, in order: the identity of each folder, and when something was last put into it."""
    found = []
    for entry in sys.path:
        with contextlib.suppress(OSError):
            about = Path(entry).stat()
            found.append((about.st_dev, about.st_ino, about.st_mtime_ns))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def _installed(path: tuple[tuple[int, ...], ...]) -> importlib.metadata.EntryPoints:
    """Return the entry points of all packages on the path; reading them takes longer than all else that finds a part."""
    del path
    # Python 3.11 returns another type, of which the same `select` is used.
    return cast("importlib.metadata.EntryPoints", importlib.metadata.entry_points())
