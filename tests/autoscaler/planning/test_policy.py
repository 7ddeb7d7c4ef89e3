"""The settings in the units of decisions."""

from datetime import UTC, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from autoscaler.policy import Policy, QuietHours
from shared.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import Cloud

PLACES = {
    "bucket": "recordings",
    "jobs_queue_url": "https://queues.test/jobs",
    "priority_queue_url": "https://queues.test/jobs-priority",
    "dead_letter_queue_url": "https://queues.test/dead-letter",
    "table_name": "ledger",
}


def policy(**changes: object) -> Policy:
    return Policy.from_settings(Settings.model_validate({**PLACES, **changes}))


@pytest.mark.parametrize(
    ("hours", "clock", "expected"),
    [
        ("09:00-17:30", "09:00", True),
        ("09:00-17:30", "17:29", True),
        ("09:00-17:30", "17:30", False),
        ("22:00-06:00", "23:59", True),
        ("22:00-06:00", "00:00", True),
        ("22:00-06:00", "06:00", False),
        ("22:00-06:00", "12:00", False),
        ("08:00-08:00", "08:00", False),
    ],
)
def test_quiet_hours_begin_and_end_when_they_say_and_may_go_over_midnight(
    hours: str, clock: str, expected: bool
) -> None:
    quiet = QuietHours.parse(hours)
    assert quiet is not None
    moment = datetime.combine(datetime(2026, 3, 1, tzinfo=UTC).date(), time.fromisoformat(clock), UTC)
    assert quiet.include(moment) is expected


def test_quiet_hours_are_utc_whatever_the_zone_of_the_moment() -> None:
    quiet = QuietHours.parse("11:00-12:00")
    assert quiet is not None
    assert quiet.include(datetime(2026, 3, 1, 13, 30, tzinfo=timezone(timedelta(hours=2))))


def test_the_defaults_start_at_once_with_no_budget_and_no_quiet_hours() -> None:
    default = policy()
    assert (default.start_min_jobs, default.min_instances, default.has_budget) == (1, 0, False)
    assert (default.quiet_hours, default.budget_override_until) == (None, None)


def test_a_limit_of_zero_is_no_limit_and_any_other_is_one() -> None:
    assert policy(daily_gpu_hours=1.5).daily_gpu_seconds == 5400
    assert policy(daily_cost_usd=3).has_budget


def test_fewer_instances_may_run_than_are_to_be_kept_then_the_limit_wins() -> None:
    assert policy(min_instances=5, max_instances=2).min_instances == 2


def test_an_override_is_read_from_the_environment_and_an_empty_one_is_none(
    cloud: "Cloud", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCRIBEFLEET_BUDGET_OVERRIDE_UNTIL", "2026-03-01T18:00Z")
    assert Policy.from_settings(Settings()).budget_override_until == datetime(2026, 3, 1, 18, tzinfo=UTC)
    monkeypatch.setenv("SCRIBEFLEET_BUDGET_OVERRIDE_UNTIL", "")
    assert Policy.from_settings(Settings()).budget_override_until is None


@pytest.mark.parametrize(
    "changes",
    [{"quiet_hours": "22-6"}, {"quiet_hours": "25:00-06:00"}, {"budget_override_until": "2026-03-01T18:00"}],
)
def test_a_time_that_is_none_is_refused_with_the_settings(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        policy(**changes)
