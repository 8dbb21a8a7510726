"""What all tests share: annotations are checked at run time, hypothesis is repeatable, and there is one Ray."""

import os
from collections.abc import Iterator

import hypothesis
import jaxtyping
import pytest

# Shapes and types are checked on every call of the layers that state shapes; this must stand before their first import.
SHAPED = (
    "aggregation",
    "clients",
    "distillation",
    "engine",
    "knowledge",
    "losses",
    "models",
    "strategies",
    "tasks",
    "training",
)
jaxtyping.install_import_hook([f"fedkd.{layer}" for layer in SHAPED], "beartype.beartype")

hypothesis.settings.register_profile("fedkd", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("fedkd")

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")


@pytest.fixture(scope="session")
def ray_instance() -> Iterator[None]:
    """Start one Ray for all tests that ask for it; every grid of this process joins it."""
    import ray

    environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    yield
    ray.shutdown()


@pytest.fixture
def identified() -> None:
    """Let this process make Flower messages, as a grid does."""
    from fedkd.runtime.flower_internals import identify

    identify()
