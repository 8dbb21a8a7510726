import importlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fedkd.aggregation import FUSIONS, WEIGHTINGS
from fedkd.aggregation.fusions.base import Fusion
from fedkd.aggregation.fusions.era import ERA
from fedkd.clients import CLIENTS
from fedkd.data.datasets import DATASETS
from fedkd.data.partitions import PARTITIONS
from fedkd.data.proxies import PROXIES
from fedkd.foundation.errors import InvalidOption
from fedkd.foundation.parts import options_of, summary_of
from fedkd.foundation.registry import BrokenPlugin, Family, _installed
from fedkd.knowledge import CODECS, KINDS
from fedkd.models import MODELS
from fedkd.strategies import STRATEGIES

FAMILIES = [CLIENTS, CODECS, DATASETS, FUSIONS, KINDS, MODELS, PARTITIONS, PROXIES, STRATEGIES, WEIGHTINGS]
EVERY_PART = [(family, name) for family in FAMILIES for name in family.names()]

FUSION = """
from dataclasses import dataclass
from fedkd.aggregation.fusions.mean_logits import MeanLogits
from fedkd.foundation.options import Positive

@dataclass(frozen=True, kw_only=True)
class Mine(MeanLogits):
    "A fusion of somebody else."
    strength: Positive = 1.0
    "How strong."
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what installs a package of one module with entry points for fusions, as pip leaves it behind."""

    def put(package: str, points: dict[str, str], source: str = FUSION) -> None:
        site = tmp_path / package
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{package}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[fedkd.fusions]", *lines]) + "\n")
        monkeypatch.syspath_prepend(site)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, package, raising=False)

    return put


@pytest.mark.parametrize(("family", "name"), EVERY_PART, ids=lambda value: getattr(value, "kind", value))
def test_every_part_is_found_by_its_name_and_explains_itself_and_each_of_its_options(
    family: Family, name: str
) -> None:
    cls = family.find(name, key=family.kind)
    assert cls.__module__ == f"{family.package}.{name}"
    assert summary_of(cls)
    for option in options_of(cls):
        assert option.doc, f"{cls.__name__}.{option.name} says nothing"
        assert option.type != "any", f"{cls.__name__}.{option.name} is of no type"


def test_a_part_is_created_from_its_name_or_from_a_mapping_with_options() -> None:
    assert FUSIONS.create("era", key="fusion") == ERA()
    assert FUSIONS.create({"name": "era", "temperature": 0.5}, key="fusion") == ERA(temperature=0.5)


def test_base_classes_and_modules_for_the_familys_own_use_are_no_parts() -> None:
    for family in FAMILIES:
        assert "base" not in family.names()
        assert not any(name.startswith("_") for name in family.names())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "mean_logit",
            r"^fusion\.name: got 'mean_logit', allowed is one of borda, cronus, era, .*or module:Class; did you mean 'mean_logits'\?$",
        ),
        ("ERA", r"^fusion\.name: got 'ERA'"),
        ("zzz", r"^fusion\.name: got 'zzz', allowed is one of [^;]*$"),
        ({"temperature": 0.1}, r"^fusion\.name: got None, allowed is the name of a fusion"),
        ({"name": 3}, r"^fusion\.name: got 3"),
        ({"name": "era", "temprature": 1}, r"^fusion\.temprature: got 1.*did you mean 'temperature'"),
        ({"name": "era", "temperature": 0}, r"^fusion\.temperature: got 0, allowed is greater than 0$"),
    ],
)
def test_names_and_options_that_do_not_exist_are_refused_in_one_line(given: object, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        FUSIONS.create(given, key="fusion")  # type: ignore[arg-type]


def test_an_installed_package_offers_parts_under_names_of_its_own(install: Install) -> None:
    install("fusions_of_mine", {"mine": "fusions_of_mine:Mine"})
    assert "mine" in FUSIONS.names()
    made = FUSIONS.create({"name": "mine", "strength": 2}, key="fusion")
    assert isinstance(made, Fusion)
    assert made.strength == 2.0  # type: ignore[attr-defined]
    with pytest.raises(InvalidOption, match=r"^fusion\.strength: got -1"):
        FUSIONS.create({"name": "mine", "strength": -1}, key="fusion")
    with pytest.raises(InvalidOption, match="did you mean 'mine'"):
        FUSIONS.find("mien", key="fusion")


def test_a_package_that_is_installed_while_a_process_runs_is_found_and_no_package_is_read_twice(
    install: Install, tmp_path: Path
) -> None:
    install("fusions_first", {"first": "fusions_first:Mine"})
    assert {"first", "second"} & {*FUSIONS.names()} == {"first"}
    info = tmp_path / "fusions_first" / "fusions_second-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fusions_second\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fedkd.fusions]\nsecond = fusions_first:Mine\n")
    assert {"first", "second"} <= {*FUSIONS.names()}
    read = _installed.cache_info().misses
    assert type(FUSIONS.create("second", key="fusion")).__name__ == "Mine"
    assert _installed.cache_info().misses == read


def test_a_class_that_is_named_directly_needs_no_entry_point(install: Install) -> None:
    install("fusions_by_path", {})
    assert type(FUSIONS.create("fusions_by_path:Mine", key="fusion")).__name__ == "Mine"


def test_two_packages_that_offer_one_name_are_warned_about_and_the_first_is_used(install: Install) -> None:
    install("fusions_late", {"twice": "fusions_late:Mine"})
    install("fusions_soon", {"twice": "fusions_soon:Mine"})
    with pytest.warns(UserWarning, match="two packages offer the fusion 'twice': fusions_soon:Mine is used"):
        cls = FUSIONS.find("twice", key="fusion")
    assert cls.__module__ == "fusions_soon"


def test_a_built_in_part_is_not_replaced_and_who_tries_is_named(install: Install) -> None:
    install("fusions_bold", {"era": "fusions_bold:Mine"})
    with pytest.warns(
        UserWarning, match=r"the fusion 'era' of fusions_bold:Mine is hidden by the built-in one"
    ):
        assert FUSIONS.find("era", key="fusion") is ERA


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('half installed')", "RuntimeError: half installed"),
        ("import a_package_that_nobody_has", "ModuleNotFoundError"),
        ("def Mine(:", "SyntaxError"),
        ("x = 1", "AttributeError"),
        ("class Mine: pass", r"allowed is a subclass of fedkd\.aggregation\.fusions\.base\.Fusion"),
        ("Mine = 3", r"allowed is a subclass of fedkd\.aggregation\.fusions\.base\.Fusion"),
    ],
)
def test_a_broken_plug_in_is_named_and_breaks_nothing_else(
    install: Install, source: str, reason: str
) -> None:
    install("fusions_broken", {"broken": "fusions_broken:Mine"}, source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "broken" in FUSIONS.names()
        assert FUSIONS.create("era", key="fusion") == ERA()
    with pytest.raises(BrokenPlugin, match=rf"^fusion\.name: got 'broken'.*{reason}") as refusal:
        FUSIONS.create("broken", key="fusion")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["nowhere:Mine", "fedkd.aggregation.fusions.era:Missing", "json:dumps", ":ERA", "json:"]
)
def test_a_class_that_is_not_there_or_is_no_part_is_refused(name: str) -> None:
    with pytest.raises(BrokenPlugin, match=r"^fusion: got"):
        FUSIONS.find(name, key="fusion")
