"""An experiment: every option of a run, validated, as objects; and back to the plain config that reproduces it.

>>> experiment = Experiment.from_config(compose(["method=dsfl", "rounds=3"]))
>>> experiment.rounds, experiment.method.fusion
(3, ERA(temperature=0.1))
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from omegaconf import OmegaConf

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.assembly.combinations import check
from fedkd.assembly.compose import PLANS, PRESET
from fedkd.assembly.method import Method
from fedkd.assembly.settings import BASELINES, Baseline, Settings, baselines_of
from fedkd.assembly.settling import settled
from fedkd.clients import CLIENTS
from fedkd.data.datasets import DATASETS
from fedkd.data.datasets.base import DataSet
from fedkd.data.partitions import PARTITIONS
from fedkd.data.partitions.base import Partitioner
from fedkd.data.proxies import PROXIES
from fedkd.data.proxies.base import Proxy
from fedkd.distillation import Distiller
from fedkd.engine.engines import ENGINES
from fedkd.engine.engines.base import TrainingEngine
from fedkd.foundation.errors import InvalidOption, nearest
from fedkd.foundation.parts import Part, build, dump
from fedkd.foundation.registry import Family
from fedkd.knowledge import CODECS, KINDS
from fedkd.models import MODELS
from fedkd.models.base import Model
from fedkd.runtime.runtimes import RUNTIMES
from fedkd.runtime.runtimes.base import Runtime
from fedkd.strategies import STRATEGIES


@dataclass(frozen=True)
class Experiment:
    """Every option of a run as objects, and the plain config that they came from with every default spelled out."""

    settings: Settings
    method: Method
    data: DataSet
    partition: Partitioner
    proxy: Proxy | None
    model: Model
    student: Model | None
    engine: TrainingEngine
    runtime: Runtime
    baselines: tuple[Baseline, ...]
    resolved: Mapping[str, Any] = field(repr=False)

    @property
    def threads(self) -> int:
        """PyTorch threads of the server's own work; what `auto` was has been settled."""
        assert self.settings.threads != "auto"
        return self.settings.threads

    @property
    def labels_on_proxy(self) -> bool:
        """Whether methods may use true targets of the public samples."""
        return bool(getattr(self.proxy, "labelled", False))  # a proxy set without targets has no such option

    def named(self, slot: str) -> str:
        """Return the name of the part in a slot of the method, `none` where there is none."""
        part = self.resolved["method"][slot]
        return str(part["name"]) if part else "none"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Experiment":
        """Validate a config and construct its parts; nothing is loaded or started.

        Raises:
            InvalidOption: a key that nobody knows, a wrong type, or a value out of range.
            IllegalCombination: options that cannot work together.
        """
        reader = _Reader(config)
        method = reader.method()
        data = reader.part("data", DATASETS)
        partition = reader.part("partition", PARTITIONS)
        proxy = reader.part("proxy", PROXIES)
        model = reader.part("model", MODELS)
        student = reader.student()
        engine = reader.part("engine", ENGINES)
        runtime = reader.part("runtime", RUNTIMES)
        settings = reader.settings()
        reader.refuse_unknown()
        experiment = cls(
            settings=settings,
            method=method,
            data=data,
            partition=partition,
            proxy=None if reader.name("proxy") == "none" else proxy,
            model=model,
            student=student,
            engine=engine,
            runtime=runtime,
            baselines=baselines_of(settings.baselines),
            resolved=reader.resolved,
        )
        check(experiment)
        return settled(experiment)


def method_of(recipe: Mapping[str, Any]) -> tuple[Method, dict[str, Any]]:
    """Return the parts that a method recipe names, with no experiment around them, and the recipe with every default spelled out.

    What it presets outside of itself is left aside.

    Raises:
        InvalidOption: a key that nobody knows, a wrong type, or a value out of range.
    """
    reader = _Reader({"method": {key: value for key, value in recipe.items() if key != PRESET}})
    return reader.method(), reader.resolved["method"]


class _Reader:
    """Reads the parts out of a config, and writes down each with all its options."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self.resolved: dict[str, Any] = {}
        self._read: set[str] = set()

    def name(self, key: str) -> str | None:
        spec = self._config.get(key)
        name = spec.get("name") if isinstance(spec, Mapping) else spec
        return None if name is None else str(name)

    def part(self, key: str, family: Family) -> Any:
        self._read.add(key)
        if key not in self._config:
            raise InvalidOption(key, None, f"the name of a {family.kind}: one of {', '.join(family.names())}")
        part, self.resolved[key] = _create(self._config[key], family, key)
        return part

    def student(self) -> Model | None:
        if self.name("student") != "same":
            student: Model = self.part("student", MODELS)
            return student
        self._read.add("student")
        spec = self._config["student"]
        options = (
            {key: value for key, value in spec.items() if key != "name"} if isinstance(spec, Mapping) else {}
        )
        build(Part, options, key="student")
        self.resolved["student"] = {"name": "same"}
        return None

    def method(self) -> Method:
        self._read.add("method")
        spec = self._config.get("method")
        if not isinstance(spec, Mapping):
            raise InvalidOption("method", spec, "the name of a recipe; `fedkd list methods` shows them")
        recipe = dict(spec)
        slots: dict[str, tuple[Family, bool]] = {
            "strategy": (STRATEGIES, False),
            "client": (CLIENTS, False),
            "knowledge": (KINDS, True),
            "codec": (CODECS, False),
            "codec_down": (CODECS, True),
            "weighting": (WEIGHTINGS, False),
            "fusion": (FUSIONS, True),
        }
        known = ["name", *slots, "distiller", "pool"]
        for key, value in recipe.items():
            if key not in known:
                raise InvalidOption(
                    f"method.{key}",
                    value,
                    f"one of the options {', '.join(known)}",
                    nearest(str(key), known),
                )
        resolved: dict[str, Any] = {"name": str(recipe.get("name", "unnamed"))}
        parts: dict[str, Any] = {}
        for slot, (family, optional) in slots.items():
            value = recipe.get(slot, {"codec": "float32", "weighting": "uniform"}.get(slot))
            if value is None and optional:
                parts[slot] = resolved[slot] = None
                continue
            parts[slot], resolved[slot] = _create(value, family, f"method.{slot}")
        distiller = recipe.get("distiller")
        parts["distiller"] = (
            None
            if distiller is None
            else build(Distiller, _mapping(distiller, "method.distiller"), key="method.distiller")
        )
        resolved["distiller"] = None if distiller is None else dump(parts["distiller"])
        pool = recipe.get("pool", False)
        if not isinstance(pool, bool):
            raise InvalidOption("method.pool", pool, "true or false")
        resolved["pool"] = pool
        self.resolved["method"] = resolved
        return Method(name=resolved["name"], pool=pool, **parts)

    def settings(self) -> Settings:
        groups = {"method", "data", "partition", "proxy", "model", "student", "engine", "runtime"}
        own = {key: value for key, value in self._config.items() if key not in groups}
        known = [*sorted(groups), *(option.name for option in fields(Settings))]
        for key, value in own.items():
            if key not in known:
                raise InvalidOption(key, value, f"one of {', '.join(known)}", nearest(str(key), known))
        given = own.get("baselines", "none")
        if not (
            isinstance(given, str)
            or (isinstance(given, list) and all(isinstance(name, str) for name in given))
        ):
            raise InvalidOption("baselines", given, f"all, none, or some of {', '.join(BASELINES)}")
        settings = build(Settings, own, key="")
        self.resolved |= dump(settings)
        self._read |= own.keys()
        return settings

    def refuse_unknown(self) -> None:
        for key in self._config.keys() - self._read:
            raise InvalidOption(
                key,
                self._config[key],
                "one of " + ", ".join(sorted(self._read)),
                nearest(str(key), self._read),
            )


def _create(spec: Any, family: Family, key: str) -> tuple[Any, dict[str, Any]]:
    if not isinstance(spec, str | Mapping):
        raise InvalidOption(key, spec, f"the name of a {family.kind}: one of {', '.join(family.names())}")
    if not isinstance(spec, str) and PLANS in spec:
        spec = _with_plans(spec, family, key)
    part = family.create(spec, key=key)
    name = spec if isinstance(spec, str) else spec["name"]
    return part, {"name": name, **dump(part)}


def _with_plans(spec: Mapping[str, Any], family: Family, key: str) -> dict[str, Any]:
    """Return a part's options over the training plans of the part that stood in its place, as far as it has such plans."""
    own = {name: value for name, value in spec.items() if name != PLANS}
    known = {field.name for field in fields(family.find(str(own["name"]), key=f"{key}.name"))}
    plans = {name: plan for name, plan in spec[PLANS].items() if name in known}
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.merge(plans, own)))


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidOption(key, value, "a mapping of options")
    return value
