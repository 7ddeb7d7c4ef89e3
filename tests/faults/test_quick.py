"""A few faults of the matrix in every run of the tests, so that the harness itself never rots; all by `make faults`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.catalogue import all_faults
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.scenario import Fault, run_fault
from tests.faults.harness.server import CloudServer, cloud_server

pytestmark = pytest.mark.e2e

SEED = 1
QUICK = [fault for fault in all_faults() if fault.quick]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with cloud_server(tmp_path_factory.mktemp("cloud") / "server") as running:
        yield running


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_the_fleet_does_not_care(fault: Fault, server: CloudServer, tmp_path: Path) -> None:
    outcome = run_fault(fault, SEED, tmp_path / "run", server)
    assert outcome.verdict == "holds"
    assert outcome.jobs > 0
    assert outcome.lost == outcome.duplicated == 0
    assert not (tmp_path / "run").exists(), "what held needs no logs"


def test_a_fault_that_loses_a_job_is_broken_and_leaves_its_traces(server: CloudServer, tmp_path: Path) -> None:
    def purge(fleet: Fleet) -> None:
        fleet.put_session("ada", "s1", range(1, 4))
        fleet.scan()
        fleet.cloud.sqs.purge_queue(QueueUrl=fleet.settings.jobs_queue_url)

    fault = Fault("purge", "test", "The queue is emptied, and no scan follows.", purge, injected=1, bounds_seconds=0.5)
    outcome = run_fault(fault, SEED, tmp_path / "run", server)
    assert outcome.lost == 3
    assert any("s1/001: lost" in each for each in outcome.broken)
    assert any("not at rest after 0.5 s" in each for each in outcome.broken)
    assert (tmp_path / "run" / "journal.jsonl").stat().st_size > 0
    assert "s1/001: lost" in (tmp_path / "run" / "verdict.txt").read_text()
