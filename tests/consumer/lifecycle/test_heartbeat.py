"""The worker's heartbeat, as the autoscaler will read it."""

from typing import TYPE_CHECKING

from consumer.lifecycle.heartbeat import HeartbeatSender
from shared.formats.heartbeat import Heartbeat
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock


def last(ledger: Ledger) -> Heartbeat:
    return ledger.heartbeats(["i-1"]).valid["i-1"]


def test_idle_counts_from_the_moment_the_work_ended(cloud: "Cloud", clock: "FakeClock") -> None:
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    heart = HeartbeatSender(ledger, "i-1", clock, 30)
    heart.becomes("busy")
    assert last(ledger).idle_since is None
    clock.advance(60)
    heart.becomes("idle")
    ended = clock.now()
    clock.advance(60)
    heart.becomes("draining")
    beat = last(ledger)
    assert beat.state == "draining"
    assert beat.idle_since is not None
    assert abs((beat.idle_since - ended).total_seconds()) < 0.01
    assert abs((beat.beat_at - clock.now()).total_seconds()) < 0.01


def test_a_worker_that_waits_for_the_lock_is_not_idle(cloud: "Cloud", clock: "FakeClock") -> None:
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    heart = HeartbeatSender(ledger, "i-1", clock, 30)
    heart.becomes("locked")
    assert (last(ledger).state, last(ledger).idle_since) == ("locked", None)


def test_jobs_done_and_the_rtfx_are_said_with_the_next_beat(cloud: "Cloud", clock: "FakeClock") -> None:
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    heart = HeartbeatSender(ledger, "i-1", clock, 30)
    heart.job_done(None)
    heart.job_done(21.5)
    heart.beat()
    assert (last(ledger).jobs_done, last(ledger).rtfx) == (2, 21.5)


def test_the_heart_beats_from_the_start_of_its_block(cloud: "Cloud", clock: "FakeClock") -> None:
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    with HeartbeatSender(ledger, "i-1", clock, 30).running():
        assert last(ledger).state == "starting"


def test_progress_counts_from_the_last_finished_job_and_is_absent_without_work(
    cloud: "Cloud", clock: "FakeClock"
) -> None:
    ledger = Ledger(cloud.dynamodb, cloud.settings, clock)
    heart = HeartbeatSender(ledger, "i-1", clock, 30)
    heart.becomes("busy")
    began = last(ledger).progress_at
    clock.advance(60)
    heart.job_done(20.0)
    clock.advance(60)
    heart.beat()
    progress, beat_at = last(ledger).progress_at, last(ledger).beat_at
    assert began is not None
    assert progress is not None
    assert abs((progress - began).total_seconds() - 60) < 0.01
    assert abs((beat_at - progress).total_seconds() - 60) < 0.01
    heart.becomes("idle")
    assert last(ledger).progress_at is None
