"""`scribefleet selftest` against a whole fleet: real scanner, autoscaler, host, worker and model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from deploy.selftest.cli import selftest
from shared.background import repeating

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningFleet

pytestmark = [pytest.mark.e2e, pytest.mark.model]


def test_a_deployed_fleet_passes_the_self_test_and_nothing_of_it_stays(
    fleet: "RunningFleet", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given: a fleet whose instances are stopped
    for name, value in fleet.cloud.environment.items():
        monkeypatch.setenv(name, value)
    # when
    with repeating(fleet.tick, 1, "autoscaler"):
        ran = CliRunner().invoke(selftest, ["--json", "--timeout", "90"], catch_exceptions=False)
    # then
    found = json.loads(ran.stdout)
    assert (ran.exit_code, found["passed"], found["reason"]) == (0, True, None), ran.stderr
    assert "age of wisdom" in found["heard"].lower()
    assert found["worker"] in fleet.stack.instance_ids
    assert found["startedInstance"] is True
    assert found["costUSD"] > 0
    assert found["left"] == []
    listed = fleet.cloud.s3().list_objects_v2(Bucket=fleet.stack.bucket, Prefix="users/")
    assert "Contents" not in listed
    assert fleet.ledger.session_jobs(f"users/{found['userId']}/audio/sessions/gap") == {}
    assert "queued its job on the priority queue" in ran.stderr
