"""What all tests share: annotations are checked at run time, hypothesis is repeatable, and there is one Ray.

`make test` deals the tests to two processes of pytest-xdist, in groups and files that stay together.
"""

import contextlib
import functools
import gc
import os
import random
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import beartype
import hypothesis
import jaxtyping
import pytest
from beartype._check.code import codemain

if TYPE_CHECKING:
    from fedkd.clients import ClientStrategy
    from fedkd.data.federated import FederatedData
    from fedkd.engine import ClientSide
    from fedkd.models.base import Model

# The typer that Flower pins asks click for names that click has deprecated: no warning of ours, and raised once, here.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import typer  # noqa: F401

# beartype draws which items of a container it looks at. The global generator belongs to the apps under test, so it gets its own.
codemain.getrandbits = random.Random(0).getrandbits

# Shapes and types are checked on every call of the layers that state shapes; this must stand before their first import.
SHAPED = (
    "aggregation",
    "clients",
    "distillation",
    "engine",
    "knowledge",
    "losses",
    "models",
    "objectives",
    "strategies",
    "tasks",
    "training",
)
_SEEN: set[tuple[str, str, CodeType]] = set()


def checked(function: Any) -> Any:
    """Check a function with beartype; one inside a function, which every call makes anew, the first time that it is made."""
    made = (function.__module__, function.__qualname__, function.__code__)
    if made in _SEEN:
        return function
    if "<locals>" in function.__qualname__:
        _SEEN.add(made)
    return beartype.beartype(function)


def without_shapes(function: Any) -> bool:
    """Return whether no annotation of a plain function has a shape, or is a name in quotes, which may stand for one."""
    if not isinstance(function, FunctionType):
        return False
    hints = function.__annotations__.values()
    return not any(
        isinstance(hint, str) or "jaxtyping." in repr(hint) or "ForwardRef(" in repr(hint) for hint in hints
    )


def jaxtyped(function: Any, *, typechecker: Any) -> Any:
    """Compare shapes where there are any: that binds the arguments of every call, in Python, and checks them twice."""
    if without_shapes(function):
        return typechecker(function)
    return _jaxtyped(function, typechecker=typechecker)


_jaxtyped, jaxtyping.jaxtyped = jaxtyping.jaxtyped, lambda **options: functools.partial(jaxtyped, **options)
sys.modules["fedkd_tests"] = sys.modules[__name__]  # the hook takes a name that can be imported
jaxtyping.install_import_hook([f"fedkd.{layer}" for layer in SHAPED], "fedkd_tests.checked")

hypothesis.settings.register_profile("fedkd", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("fedkd")

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

# A shell tells what it runs in its background to ignore Ctrl-C, and then so would everything that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put all tests that use Ray into one group, and order: groups, which take long, come first, then files with many tests."""
    for item in items:
        if "ray_instance" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("ray"))
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.get_closest_marker("xdist_group") is None, -sizes[item.path]))


@pytest.fixture(scope="session", autouse=True)
def _old_objects_frozen() -> Iterator[None]:
    """Let the garbage collector pass over what has been imported by now, in all of the session's runs."""
    from fedkd.foundation.garbage import old_objects_frozen

    with old_objects_frozen():
        yield


@pytest.fixture(scope="module", autouse=True)
def _imports_frozen(_old_objects_frozen: None) -> None:
    """Let it pass over what tests have imported since, too."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let one process run all of a group, or else all of a file, whose tests may share a fixture."""
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return super()._split_scope(nodeid).partition("::")[0]

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def ray_instance() -> Iterator[None]:
    """Start one Ray for all tests that ask for it; every grid of this process joins it."""
    import ray

    from fedkd.runtime.ray_workers import one_thread_each

    with _leaving_things_open(), one_thread_each():
        ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    yield
    with _leaving_things_open():
        ray.shutdown()


@contextlib.contextmanager
def _leaving_things_open() -> Iterator[None]:
    """Let Ray forget files and processes that it has not closed, which elsewhere is an error, and let them go at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture(scope="session")
def digits() -> "FederatedData":
    """Deal 320 real digits to four clients under label skew; 40 more are the proxy set."""
    from fedkd.data.datasets.digits import Digits
    from fedkd.data.federated import federate
    from fedkd.data.partitions.dirichlet import Dirichlet
    from fedkd.data.proxies.heldout import Heldout
    from fedkd.foundation.seeding import Streams

    data = Digits(samples=360, test_samples=60)
    return federate(data, Dirichlet(alpha=0.5, minimum=5), Heldout(size=40), 4, Streams(0))


@pytest.fixture
def client_side(digits: "FederatedData") -> "Callable[..., ClientSide]":
    """Return a maker of client sides over the digits, or over other data."""
    from fedkd.engine import ClientSide
    from fedkd.engine.client import fitted_out
    from fedkd.foundation.seeding import Streams
    from fedkd.knowledge.codecs.float32 import Float32
    from fedkd.models.early_exits import EarlyExits
    from fedkd.models.logistic import Logistic
    from fedkd.models.peer_branches import PeerBranches
    from fedkd.tasks import Classification

    def network_for(strategy: "ClientStrategy") -> "Model":
        if strategy.needs_means:
            return PeerBranches(trunk=(8,), branch=(8,), peers=2)
        return EarlyExits(hidden=(8, 8)) if strategy.needs_exits else Logistic()

    def make(strategy: "ClientStrategy", **changed: Any) -> ClientSide:
        usual = {
            "data": digits,
            "models": (network_for(strategy),) * len(digits.assignments),
            "kind": None,
            "codec": Float32(),
            "task": Classification(),
            "streams": Streams(0),
        }
        options = usual | changed
        options["models"] = fitted_out(strategy, options["models"], options.pop("student", Logistic()))
        return ClientSide(strategy=strategy, **options)

    return make
