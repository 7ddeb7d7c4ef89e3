"""`scribefleet reports` on the emulator."""

import json
import subprocess
import sys
import webbrowser
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from producer.operator.reports.cli import reports
from tests.fixtures.fleet_resources import lay_out_objects
from tests.shared.reporting.stored_reports import NOON, failed_job, run_report, skipped_report, store, store_bytes

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(reports, arguments)


def names(result: Result) -> list[str]:
    return [report["name"] for report in json.loads(result.stdout)]


def three(cloud: "Cloud") -> list[str]:
    """A run, a failed run a day later and a skipped scan after that; newest first."""
    failed = run_report(NOON, status="failed", errors=(failed_job("[bold]s2"),))
    return [
        store(cloud, skipped_report(NOON + timedelta(days=1, hours=1)), NOON + timedelta(days=1, hours=1)),
        store(cloud, failed, NOON + timedelta(days=1)),
        store(cloud, run_report(NOON, cost=0.1234), NOON),
    ]


# --- list


def test_given_reports_then_the_list_shows_the_newest_first(cloud: "Cloud") -> None:
    stored = three(cloud)

    shown = run("list")

    assert shown.exit_code == 0
    places = [shown.stdout.index(f" {name} ") for name in stored]
    assert places == sorted(places)
    assert "0.1234" in shown.stdout
    assert "audio-empty" in shown.stdout
    assert "no gaps" in shown.stdout


def test_given_a_day_a_status_or_a_limit_then_only_such_reports_are_listed(cloud: "Cloud") -> None:
    skipped, failed, succeeded = three(cloud)

    assert names(run("list", "--json")) == [skipped, failed, succeeded]
    assert names(run("list", "--json", "--day", "2026-03-01")) == [succeeded]
    assert names(run("list", "--json", "--status", "failed", "--status", "success")) == [failed, succeeded]
    assert names(run("list", "--json", "--runs")) == [failed, succeeded]
    assert names(run("list", "--json", "--limit", "1")) == [skipped]
    assert names(run("list", "--json", "--status", "success", "--limit", "1")) == [succeeded]


def test_given_a_damaged_report_then_it_is_shown_as_such_and_hides_no_other(cloud: "Cloud") -> None:
    stored = store(cloud, run_report(NOON), NOON)
    store_bytes(cloud, "batch-2026-03-01-1300", b"{")
    store_bytes(cloud, "batch-2026-03-01-1400", b'{"status": 1, "gpu": {"costUSD": 0.5}}')
    store_bytes(cloud, "notes", b"{}")

    shown = run("list")

    assert shown.exit_code == 1
    assert "it is not JSON" in shown.stdout
    assert "0.5000" in shown.stdout
    assert stored in shown.stdout
    assert "notes" not in shown.stdout


def test_given_more_reports_than_a_page_of_s3_then_none_is_missing(cloud: "Cloud") -> None:
    minutes = (f"2026-03-{1 + minute // 600:02d}-{minute // 60 % 10:02d}{minute % 60:02d}" for minute in range(1005))
    lay_out_objects(cloud.settings.bucket, {f"batch-reports/batch-{name}.json": b"{}" for name in minutes})

    assert len(names(run("list", "--json", "--limit", "2000"))) == 1005


def test_given_no_reports_then_it_says_so() -> None:
    assert run("list").stdout == "no reports\n"


# --- show


def test_given_no_name_then_the_newest_report_is_shown(cloud: "Cloud") -> None:
    three(cloud)
    newest = run_report(NOON, cost=0.0321, errors=(failed_job("[bold]s9", "012"),))
    name = store(cloud, newest, NOON + timedelta(days=3))

    shown = run("show")

    assert shown.exit_code == 0
    for text in (name, "i-0abc (g4dn.xlarge)", "0.0321 USD", "[bold]s9", "012", "audio-empty", "20 transcribed"):
        assert text in shown.stdout


def test_given_an_older_report_then_it_is_shown_as_far_as_it_is_understood(cloud: "Cloud") -> None:
    store_bytes(
        cloud, "batch-2026-03-01-1300", b'{"status": "success", "cost": "$0.10", "gpu": {"runtimeSeconds": 75}}'
    )

    shown = run("show", "1300")

    assert shown.exit_code == 0
    assert "1m 15s" in shown.stdout
    assert "of another version or damaged" in shown.stdout
    assert json.loads(run("show", "1300", "--json").stdout)["cost"] == "$0.10"


def test_given_a_name_that_no_report_has_then_the_closest_are_named(cloud: "Cloud") -> None:
    stored = three(cloud)

    refused = run("show", "batch-2026-03-02-1301")

    assert refused.exit_code == 2
    assert stored[0] in refused.stderr


def test_given_a_name_that_several_reports_can_have_then_none_is_guessed(cloud: "Cloud") -> None:
    three(cloud)

    refused = run("show", "2026-03-02")

    assert refused.exit_code == 2
    assert "can be 2 reports" in refused.stderr


def test_given_a_report_that_is_no_json_then_show_says_so(cloud: "Cloud") -> None:
    store_bytes(cloud, "batch-2026-03-01-1300", b"")

    refused = run("show")

    assert refused.exit_code == 1
    assert "batch-2026-03-01-1300 cannot be read: it is not JSON" in refused.stderr


# --- open


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to the browser."""
    pages: list[str] = []

    def open_page(url: str) -> bool:
        pages.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    return pages


def test_given_a_page_then_it_is_downloaded_and_opened(cloud: "Cloud", opened: list[str]) -> None:
    name = store(cloud, run_report(NOON), NOON)

    shown = run("open")

    path = Path(shown.stdout.strip())
    stored = cloud.s3.get_object(Bucket=cloud.settings.bucket, Key=f"batch-reports/{name}.html")["Body"].read()
    assert path.read_bytes() == stored
    assert opened == [path.as_uri()]
    assert path.parent.stat().st_mode & 0o077 == 0


def test_given_no_browser_wanted_then_only_the_path_is_printed(cloud: "Cloud", opened: list[str]) -> None:
    store(cloud, run_report(NOON), NOON)

    shown = run("open", "--no-browser")

    assert Path(shown.stdout.strip()).is_file()
    assert opened == []


def test_given_a_report_without_a_page_then_it_says_what_shows_its_data(cloud: "Cloud", opened: list[str]) -> None:
    store_bytes(cloud, "batch-2026-03-01-1300", b"{}")

    refused = run("open")

    assert refused.exit_code == 1
    assert "scribefleet reports show batch-2026-03-01-1300" in refused.stderr
    assert opened == []


# --- the console script


def test_the_console_script_lists_the_reports_of_the_bucket(cloud: "Cloud") -> None:
    name = store(cloud, run_report(NOON), NOON)

    ran = subprocess.run(
        [sys.executable, "-m", "deploy", "reports", "list", "--json"], capture_output=True, text=True, check=True
    )

    assert [report["name"] for report in json.loads(ran.stdout)] == [name]
