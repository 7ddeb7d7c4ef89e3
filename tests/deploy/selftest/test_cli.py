import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from deploy.fleet import FleetNotFoundError, FleetStack
from deploy.selftest import cli
from deploy.selftest.session import TrialSession, new_session, upload

if TYPE_CHECKING:
    from tests.deploy.selftest.conftest import Site


@pytest.fixture(autouse=True)
def no_real_waiting(site: "Site", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "SystemClock", lambda: site.clock)


@pytest.fixture
def stack(site: "Site") -> None:
    site.deploy()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.selftest, arguments, catch_exceptions=False)


@pytest.mark.usefixtures("stack")
def test_given_a_dry_run_then_it_tells_what_it_would_do_and_touches_nothing(site: "Site") -> None:
    ran = run("--dry-run", "--json")

    printed: dict[str, Any] = json.loads(ran.stdout)
    assert ran.exit_code == 0
    assert printed["queue"] == "jobs-priority"
    assert len(printed["objects"]) == 5
    assert printed["lock"] == "lock is free"
    assert printed["autoscalerNow"].startswith("nothing to do: no work waits")
    assert site.objects() == []
    assert site.bodies(site.settings.priority_queue_url) == []


@pytest.mark.usefixtures("stack")
def test_given_leftovers_then_clean_removes_them_and_counts(site: "Site") -> None:
    upload(site.cloud.s3, site.settings.bucket, new_session(site.clock.now()))

    ran = run("--clean", "--json")

    assert json.loads(ran.stdout) == {"sessions": 1, "removedObjects": 5, "left": []}
    assert (ran.exit_code, site.objects()) == (0, [])


@pytest.mark.usefixtures("stack")
def test_given_no_leftovers_then_clean_says_so() -> None:
    ran = run("--clean")

    assert ran.stdout.splitlines() == ["0 earlier self-tests, 0 objects removed"]


@pytest.mark.usefixtures("stack")
def test_given_a_fleet_that_does_nothing_then_it_fails_with_the_reason_and_removes_what_it_made(site: "Site") -> None:
    ran = run("--timeout", "1")

    assert ran.exit_code == 1
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("FAILED: no transcript after 1s. It waits: queued: no instance runs")
    assert lines[1].startswith("what to do: The autoscaler's decision now: ")
    assert lines[2] == "removed 5 objects"
    assert site.objects() == []
    assert "queued its job on the priority queue" in ran.stderr


@pytest.mark.usefixtures("stack")
def test_given_sigterm_then_it_ends_as_on_ctrl_c_and_the_handler_of_before_is_back(site: "Site") -> None:
    before = signal.getsignal(signal.SIGTERM)
    site.clock.events = [lambda: signal.raise_signal(signal.SIGTERM)]

    ran = run("--json")

    assert ran.exit_code == 130
    assert json.loads(ran.stdout)["interrupted"] is True
    assert site.objects() == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_given_no_such_fleet_then_it_says_how_to_make_one(site: "Site") -> None:
    with pytest.raises(FleetNotFoundError, match="there is no stack north in us-east-1"):
        run("--fleet", "north")


@pytest.mark.parametrize("other", ["--scan", "--keep", "--dry-run"])
def test_given_clean_with_another_order_then_it_is_wrong_use(other: str) -> None:
    assert run("--clean", other).exit_code == 2


def test_given_scan_then_the_deployed_function_is_invoked_as_its_schedule_does(site: "Site") -> None:
    calls: list[dict[str, Any]] = []
    clients: Any = type("Clients", (), {})()
    clients.functions = type("Lambda", (), {"invoke": staticmethod(lambda **call: calls.append(call))})()
    stack = FleetStack("north", "", "CREATE_COMPLETE", "", {"ScannerFunctionName": "north-scanner"}, {}, ())

    cli._scan(clients, stack)

    (call,) = calls
    assert (call["FunctionName"], call["InvocationType"]) == ("north-scanner", "Event")
    assert json.loads(call["Payload"]) == {"enqueue": True}


def test_a_session_knows_when_it_was_made(site: "Site") -> None:
    made = new_session(site.clock.now())

    assert TrialSession(made.user_id).made_at == site.clock.now().replace(microsecond=0)
