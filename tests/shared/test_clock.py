"""Time as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.clock import human_duration, iso


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

    assert iso(moment) == "2026-01-02T03:04:05.678Z"
    assert iso(moment.astimezone(timezone(timedelta(hours=-5)))) == "2026-01-02T03:04:05.678Z"
    assert iso(moment.replace(microsecond=0)) == "2026-01-02T03:04:05.000Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (3599.6, "1h 00m"),
        (7620, "2h 07m"),
        (360_000, "100h 00m"),
    ],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
