"""The recordings that all tests of permissions look at; each is made once, whatever the number of test processes."""

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer.model.location import resolve_model_dir
from deploy.local.fill import FillOptions, stack_parameters
from tests.iam.harness.fleet import guarded_fleet
from tests.iam.harness.recording import Recording, record_group, record_pool


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what rests on a run of the fleet as what it is."""
    for item in items:
        if {"pool_recording", "group_recording"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.model)


@pytest.fixture(scope="session")
def pool_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    def record() -> Recording:
        with guarded_fleet(tmp_path_factory.mktemp("pool"), _parameters(tmp_path_factory)) as fleet:
            return record_pool(fleet, tmp_path_factory.mktemp("recordings"))

    return _made_once(tmp_path_factory, "pool", record)


@pytest.fixture(scope="session")
def group_recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    def record() -> Recording:
        # With the host's package named, the roles hold every statement that this mode can have.
        parameters = _parameters(tmp_path_factory) | {"CapacityProvider": "asg", "HostPackageKey": "host.tar.gz"}
        with guarded_fleet(tmp_path_factory.mktemp("group"), parameters) as fleet:
            return record_group(fleet)

    return _made_once(tmp_path_factory, "group", record)


def _parameters(factory: pytest.TempPathFactory) -> dict[str, str]:
    options = FillOptions(model="tiny.en", model_dir=resolve_model_dir("tiny.en", None))
    return stack_parameters(options, factory.mktemp("model")) | {"MaxEmptyPolls": "1"}


def _made_once(factory: pytest.TempPathFactory, name: str, record: Callable[[], Recording]) -> Recording:
    """The recording, by the first test process that asks for it; the others wait, and read it."""
    folder = _shared_folder(factory)
    file = folder / f"{name}.recording"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            recording = record()
            file.write_bytes(pickle.dumps(recording))
            return recording
    recorded: Recording = pickle.loads(file.read_bytes())
    return recorded


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    """pytest-xdist gives each process a folder of its own below a common one of the session."""
    own = factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own
