"""Ownership of instances, read from tags: only what the autoscaler started in this run is the fleet's to stop."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import iso
from shared.state.instances import STARTED_AT_TAG, owned_since, run_start, started_at, tags_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = {STARTED_AT_TAG: iso(AT)}


def test_tags_are_a_mapping_of_their_names() -> None:
    assert tags_of([{"Key": "Name", "Value": "gpu"}, {"Key": "team", "Value": ""}]) == {"Name": "gpu", "team": ""}


@pytest.mark.parametrize("seconds_after_the_tag", [-1, 0, 2, 299])
def test_an_instance_that_launched_right_after_the_tag_was_written_is_owned(seconds_after_the_tag: int) -> None:
    launched = AT + timedelta(seconds=seconds_after_the_tag)

    assert owned_since(OURS, launched) == AT
    assert run_start(OURS, launched) == AT


def test_an_instance_that_a_person_started_later_is_not_owned_though_the_old_tag_is_still_on_it() -> None:
    launched = AT + timedelta(hours=3)

    assert owned_since(OURS, launched) is None
    assert run_start(OURS, launched) == launched


@pytest.mark.parametrize("tags", [{}, {STARTED_AT_TAG: ""}, {STARTED_AT_TAG: "yesterday"}, {"other": iso(AT)}])
def test_without_a_readable_tag_nothing_is_owned(tags: dict[str, str]) -> None:
    assert owned_since(tags, AT) is None
    assert run_start(tags, AT) == AT


def test_a_tag_without_a_zone_is_utc() -> None:
    assert started_at({STARTED_AT_TAG: "2026-01-02T03:04:05"}) == AT
