"""`scribefleet costs`: sums of runs, and the command on the emulator."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import deploy
from producer.operator.costs.cli import KEPT_DAYS, costs, read_month
from producer.operator.costs.totals import RunCost, SessionShare, Sum, by_day, by_session, total
from producer.operator.reports.store import ReportStore
from shared.reporting.reports import TranscriptionCounts
from tests.shared.reporting.stored_reports import NOON, outcome, run_report, skipped_report, store, store_bytes

if TYPE_CHECKING:
    from tests.conftest import Cloud


def a_run(day: int, cost: float | None, **seconds: float) -> RunCost:
    """A run on a day of March that heard so many seconds of each session."""
    shares = tuple(SessionShare("u", session, audio) for session, audio in seconds.items())
    return RunCost(date(2026, 3, day), cost, 600, sum(seconds.values()), shares)


# --- the sums


def test_sessions_share_a_runs_cost_by_their_audio() -> None:
    sessions, nobodys = by_session([a_run(1, 0.3, a=200, b=100), a_run(2, 0.1, a=50)])

    assert {session: round(line.cost_usd, 9) for (_, session), line in sessions.items()} == {"a": 0.3, "b": 0.1}
    assert [session for _, session in sessions] == ["a", "b"]
    assert sessions["u", "a"].runs == 2
    assert nobodys == Sum()


def test_a_run_that_heard_nothing_is_no_sessions() -> None:
    sessions, nobodys = by_session([a_run(1, 0.3), a_run(1, 0.2, a=0)])

    assert sessions == {}
    assert (nobodys.runs, nobodys.cost_usd) == (2, 0.5)


def test_a_days_cost_for_an_hour_of_audio_is_not_known_where_there_is_none() -> None:
    days = by_day([a_run(2, 0.5, a=1800), a_run(1, 0.2)])

    assert list(days) == [date(2026, 3, 1), date(2026, 3, 2)]
    assert days[date(2026, 3, 1)].usd_per_audio_hour is None
    assert days[date(2026, 3, 2)].usd_per_audio_hour == 1.0


_RUNS = st.lists(
    st.builds(
        lambda day, cost, audio: a_run(day, cost, **audio),
        st.integers(1, 31),
        st.none() | st.floats(0, 100),
        st.dictionaries(st.sampled_from("abc"), st.floats(0.001, 1e5) | st.just(0.0)),
    ),
    max_size=6,
)


@given(_RUNS)
def test_days_and_sessions_each_come_to_the_whole_cost(runs: list[RunCost]) -> None:
    whole = total(runs)
    sessions, nobodys = by_session(runs)

    assert sum(line.cost_usd for line in by_day(runs).values()) == pytest.approx(whole.cost_usd)
    assert sum(line.cost_usd for line in sessions.values()) + nobodys.cost_usd == pytest.approx(whole.cost_usd)


# --- the command


@pytest.fixture
def march(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> "Cloud":
    """Three runs and a skipped scan on two days of March, and a run in April."""
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    two = run_report(NOON, cost=0.3, sessions=(outcome("s1", 200), outcome("[bold]s2", 100)))
    heard = TranscriptionCounts(audio_seconds=300)
    store(cloud, two.model_copy(update={"transcription": heard}), NOON)
    store(cloud, run_report(NOON, cost=0.1), NOON + timedelta(hours=1))
    store(cloud, skipped_report(NOON), NOON + timedelta(hours=2))
    store(cloud, run_report(NOON, cost=0.05), NOON + timedelta(days=1))
    store(cloud, run_report(NOON, cost=9), NOON + timedelta(days=31))
    return cloud


def run(*arguments: str) -> Result:
    return CliRunner().invoke(costs, ["--month", "2026-03", *arguments])


def test_given_runs_then_each_day_has_its_cost_and_the_month_their_sum(march: "Cloud") -> None:
    found = json.loads(run("--json").stdout)

    assert [(line["day"], line["runs"], line["costUSD"]) for line in found["lines"]] == [
        ("2026-03-01", 2, 0.4),
        ("2026-03-02", 1, 0.05),
    ]
    assert found["total"] == {
        "runs": 3,
        "costUSD": 0.45,
        "gpuSeconds": 1800.0,
        "audioSeconds": 500.0,
        "usdPerAudioHour": 3.24,
    }
    assert (found["firstReport"], found["lastReport"]) == ("2026-03-01", "2026-03-02")


def test_given_sessions_then_the_table_names_each_and_how_they_share(march: "Cloud") -> None:
    shown = run("--by", "session")

    assert shown.exit_code == 0
    assert "alice/[bold]s2" in shown.stdout
    assert "0.3500" in shown.stdout
    assert "sessions share a run's cost by the audio transcribed for each" in shown.stdout


def test_given_a_month_without_runs_then_it_says_which_reports_there_are(march: "Cloud") -> None:
    shown = CliRunner().invoke(costs, ["--month", "2025-12"])

    assert shown.exit_code == 0
    assert "reports of 2025-12: none" in shown.stdout
    assert "keeps reports for 30 days" in shown.stdout


def test_given_reports_that_say_no_cost_or_nothing_then_they_are_counted(march: "Cloud") -> None:
    store_bytes(march, "batch-2026-03-05-0000-i-1", b'{"status": "success", "gpu": {"runtimeSeconds": 60}}')
    store_bytes(march, "batch-2026-03-06-0000-i-1", b"{")

    shown = run()

    assert shown.exit_code == 1
    assert "1 runs name no cost" in shown.stdout
    assert "1 reports could not be read: batch-2026-03-06-0000-i-1" in shown.stdout
    found = json.loads(run("--json").stdout)
    assert (found["runsWithoutCost"], found["unreadableReports"]) == (1, ["batch-2026-03-06-0000-i-1"])
    assert (found["total"]["costUSD"], found["total"]["gpuSeconds"]) == (0.45, 1860.0)


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_given_a_file_then_the_days_are_drawn_into_it(
    march: "Cloud", tmp_path: Path, ending: str, magic: bytes
) -> None:
    target = tmp_path / f"costs.{ending}"

    assert run("--plot", str(target)).exit_code == 0

    assert target.read_bytes().startswith(magic)


def test_given_the_same_month_twice_then_both_pictures_are_the_same(march: "Cloud", tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        run("--plot", str(tmp_path / name))

    first = (tmp_path / "a.svg").read_text()
    assert "2026-03: 0.45 USD" in first
    assert first == (tmp_path / "b.svg").read_text()


def test_given_a_picture_of_another_kind_then_it_is_refused_before_anything_is_read() -> None:
    refused = run("--plot", "costs.gif")

    assert refused.exit_code == 2
    assert "is no .png and no .svg" in refused.stderr


# --- what the bucket has deleted


def month_seen_on(cloud: "Cloud", today: date) -> date | None:
    return read_month(ReportStore(cloud.s3, cloud.settings.bucket), date(2026, 3, 1), today).gone_before


def test_given_a_month_that_the_bucket_still_has_then_nothing_is_said_to_be_gone(march: "Cloud") -> None:
    assert month_seen_on(march, date(2026, 3, 31)) is None


def test_given_days_older_than_reports_are_kept_then_it_says_from_when_on_it_has_them(march: "Cloud") -> None:
    assert month_seen_on(march, date(2026, 4, 2)) == date(2026, 3, 3)


def test_given_a_bucket_that_keeps_them_longer_then_nothing_is_said_to_be_gone(march: "Cloud") -> None:
    assert month_seen_on(march, date(2026, 6, 1)) is None


def test_the_template_keeps_reports_for_as_long_as_the_command_says() -> None:
    class Loader(yaml.SafeLoader):
        """CloudFormation's short forms are of no interest here."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: suffix)
    template = yaml.load((Path(deploy.__file__).parent / "template.yaml").read_text(), Loader)

    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert [rule["ExpirationInDays"] for rule in rules if rule["Id"] == "expire-batch-reports"] == [KEPT_DAYS]


def test_the_console_script_sums_up_the_present_month(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    now = datetime.now(UTC)
    store(cloud, run_report(now, cost=0.07), now)

    ran = subprocess.run(
        [sys.executable, "-m", "deploy", "costs", "--month", f"{now:%Y-%m}", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(ran.stdout)["total"]["costUSD"] == 0.07
