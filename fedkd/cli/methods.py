"""What is known of every method recipe: read from the recipe, from its parts and from their docstrings, nowhere else.

>>> facts_of(read_methods()["dsfl"]).public
'unlabelled'
"""

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fedkd.assembly.compose import recipes, recipes_dir
from fedkd.assembly.experiment import method_of
from fedkd.assembly.method import Method
from fedkd.cli.docstrings import Comment, Words, read_comment, words_of
from fedkd.cli.formulas import formulas_of, grounds
from fedkd.distillation import Distiller
from fedkd.foundation.errors import FedkdError
from fedkd.foundation.parts import Part
from fedkd.knowledge.kinds.updates import Updates
from fedkd.knowledge.kinds.weights import Weights

SLOTS = ("strategy", "client", "knowledge", "weighting", "fusion", "distiller", "codec", "codec_down")
"""The slots of a method whose parts are looked at, in the order in which they are."""


@dataclass(frozen=True)
class Recipe:
    """A method recipe: its file, its comments, what it says as plain values, and its parts or why there are none."""

    name: str
    path: Path
    comment: Comment
    values: Mapping[str, Any]
    method: Method | None
    resolved: Mapping[str, Any]
    broken: str = ""


@dataclass(frozen=True)
class Facts:
    """What a method lets cross and what it needs, in words."""

    up: str
    down: str
    bytes_up: str
    bytes_down: str
    public: str
    mixed: str
    student: str


def read_methods(own: Path | None = None) -> dict[str, Recipe]:
    """Return every method recipe by its name, the built-in ones and those of a folder of one's own; one that is broken says so."""
    return {name: _read(name, own) for name in recipes("method", own)}


def facts_of(recipe: Recipe) -> Facts:
    """Return what is known of a method whose recipe is sound."""
    method, resolved = recipe.method, recipe.resolved
    assert method is not None
    formulas = formulas_of(method)
    up, down = _crossing(method, resolved)
    return Facts(
        up=up,
        down=down,
        bytes_up=_bytes(method, formulas.up, partly=method.own_classes)
        + ("; in round 1 alone" if method.strategy.rests else ""),
        bytes_down=_by_round(_bytes(method, formulas.first), _bytes(method, formulas.later)),
        public=_public(method),
        mixed=_mixed(method),
        student=_student(method),
    )


def parts_of(recipe: Recipe) -> Iterator[tuple[str, object]]:
    """Yield each part of a method that does anything, with its slot: those inside codecs and the terms of objectives included."""
    method, seen = recipe.method, set[type]()
    assert method is not None
    for slot in SLOTS:
        for part in () if _idle(slot, method) else _with_inner(getattr(method, slot)):
            if type(part) not in seen:
                seen.add(type(part))
                yield slot, part


def words_of_part(part: object) -> Words:
    """Return what the docstring of a part's module says."""
    return words_of(type(part).__module__)


def paper_of(recipe: Recipe) -> str | None:
    """Return the paper of a method in full: the first of its parts' papers by the author whom the recipe names, the client's before others'."""
    author = recipe.comment.author
    found = [
        (slot != "client", paper)
        for slot, part in parts_of(recipe)
        for paper in words_of_part(part).papers
        if author is not None and paper.startswith(author)
    ]
    return min(found, key=lambda one: one[0])[1] if found else None


def file_of(module: str) -> str:
    """Return where a module lies, as seen from the folder that holds the package."""
    package = importlib.import_module(module.partition(".")[0])
    file = importlib.import_module(module).__file__
    assert file is not None
    assert package.__file__ is not None
    return Path(file).relative_to(Path(package.__file__).parents[1]).as_posix()


def _read(name: str, own: Path | None) -> Recipe:
    folders = [recipes_dir(), *([own] if own else [])]
    path = next(path for folder in folders if (path := folder / "method" / f"{name}.yaml").exists())
    comment = read_comment(path.read_text(encoding="utf-8", errors="replace"))
    try:
        values = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeError) as error:
        return Recipe(name, path, comment, {}, None, {}, " ".join(str(error).split()))
    if not isinstance(values, dict):
        return Recipe(name, path, comment, {}, None, {}, "it is no mapping of slots to parts")
    try:
        method, resolved = method_of(values)
    except FedkdError as error:
        return Recipe(name, path, comment, values, None, {}, str(error))
    return Recipe(name, path, comment, values, method, resolved)


def _crossing(method: Method, resolved: Mapping[str, Any]) -> tuple[str, str]:
    """Return what goes up and what comes down, each with its codec, or with what the server sends beside weights."""
    kind = method.knowledge
    if kind is None:
        return "nothing", "nothing"
    said = str(resolved["knowledge"]["name"])
    codecs = (resolved["codec"], resolved["codec_down"] or resolved["codec"])
    evidence = "".join(f", `{name}`" for name in method.weighting.sends)
    if isinstance(kind, Weights):
        whose = " of the student" if method.client.carries_student else ""
        if isinstance(kind, Updates):
            up, down = (f"`{said}`{whose} as `{_nested(spec)}`" for spec in codecs)
            return up, f"`weights`{whose} in a client's first round, then {down}"
        beside = any(any(method.strategy.sent_beside(one.network, one.outputs)) for one in grounds())
        down = f"`weights`{whose}" + (" and what the strategy adds" if beside else "")
        if not method.strategy.sends_weights:
            down = "`weights` to begin with" if beside else "nothing"
        return f"`{said}`{whose}{evidence}", down
    fused = (kind.returns or said) if method.fusion is None else method.fusion.gives
    up, down = (f"`{what}` as `{_nested(spec)}`" for what, spec in zip((said, fused), codecs, strict=True))
    return up + evidence, down


def _nested(spec: Mapping[str, Any]) -> str:
    inner = spec.get("of")
    return f"{spec['name']}({_nested(inner)})" if isinstance(inner, Mapping) else str(spec["name"])


def _idle(slot: str, method: Method) -> bool:
    """Return whether a slot's part does nothing: nothing is weighed without a fusion, and weights have no codec."""
    if slot == "weighting":
        return not method.strategy.needs_fusion
    return slot in {"codec", "codec_down"} and (method.knowledge is None or method.strategy.needs_float32)


def _with_inner(part: object) -> Iterator[object]:
    """Yield a part, that inside it (of a codec), and the terms or whole sequences that it learns (of a distiller or a client)."""
    while isinstance(part, Part):
        yield part
        if isinstance(part, Distiller) and part.sequences.beam:
            yield part.sequences
        if getattr(part, "terms", ()):
            yield from part.objective().terms  # type: ignore[attr-defined]
        part = getattr(part, "of", None)


def _bytes(method: Method, formula: str | None, *, partly: bool = False) -> str:
    if formula is None:
        return "depends"
    sized = not partly and method.strategy.asks_alike and all(codec.fixed_size for codec in method.codecs)
    most = "" if sized or formula == "0" else "at most "
    return f"{most}{formula.replace('K ', '') if method.pool else formula}"


def _by_round(first: str, later: str) -> str:
    if first == later:
        return later
    return f"{later}, from round 2 on" if first == "0" else f"{later}; {first} in round 1"


def _public(method: Method) -> str:
    if not method.needs_proxy:
        return "none"
    terms = () if method.distiller is None else method.distiller.objective().terms
    learned = method.label_learners or any(term.needs_targets for term in terms)
    return "labelled" if learned or "labels" in method.weighting.needs else "unlabelled"


def _mixed(method: Method) -> str:
    kind = method.knowledge
    if method.pool:
        return "one client"
    if not method.mixes:
        return "no"
    if method.strategy.distils_groups:
        return "by group"
    equal = kind is not None and (kind.equal_features or kind.split_layer is not None)
    return "yes, with equally many features" if equal else "yes"


def _student(method: Method) -> str:
    if method.split_layer is not None:
        return "yes, behind the clients' layers"
    return "yes" if method.strategy.has_student else "no"
