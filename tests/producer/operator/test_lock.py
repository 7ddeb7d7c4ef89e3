"""`scribefleet lock`: who holds it, holding it by hand, and taking it away from those who are gone."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner, Result

from producer.operator.lock import hold
from producer.operator.lock import lock as command
from shared.clock import SystemClock
from shared.formats.layout import LOCK_KEY
from shared.state.lock import SessionLock

if TYPE_CHECKING:
    from tests.conftest import Cloud, FakeClock


@pytest.fixture(autouse=True)
def _settings(cloud: "Cloud", monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def lock(cloud: "Cloud") -> SessionLock:
    return SessionLock(cloud.s3, cloud.settings.bucket, SystemClock(), timedelta(minutes=30))


def run(*arguments: str, says: str | None = None) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False, input=says)


def test_a_free_lock_is_shown_as_free() -> None:
    ran = run("show")
    assert (ran.exit_code, ran.stdout) == (0, "lock is free\n")


def test_all_holders_are_shown(lock: SessionLock) -> None:
    lock.take("alice", "s1")
    lock.take("bob", "[bold]")
    said = run("show").stdout
    assert "alice/s1" in said
    assert "bob/[bold]" in said
    shown = json.loads(run("show", "--json").stdout)
    assert (shown["held"], [holder["userId"] for holder in shown["holders"]]) == (True, ["alice", "bob"])


def test_a_lock_that_cannot_be_read_is_an_error(cloud: "Cloud") -> None:
    cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=b"?")
    ran = run("show")
    assert (ran.exit_code, "counts as held" in ran.stdout) == (1, True)


def test_a_release_asks_and_takes_nothing_when_declined(lock: SessionLock) -> None:
    lock.take("alice", "s1")
    ran = run("release", says="n\n")
    assert ran.exit_code == 1
    assert "alice/s1" in ran.stdout
    assert lock.read().held


def test_a_release_frees_all_holders_that_were_shown(lock: SessionLock) -> None:
    lock.take("alice", "s1")
    lock.take("bob", "s2")
    ran = run("release", says="y\n")
    assert (ran.exit_code, "released: bob/s2" in ran.stdout) == (0, True)
    assert not lock.read().held


def test_a_release_of_one_session_leaves_the_others(lock: SessionLock) -> None:
    lock.take("alice", "s1")
    lock.take("bob", "s2")
    result = json.loads(run("release", "--session", "s1", "--yes", "--json").stdout)
    assert [holder["sessionId"] for holder in result["released"]] == ["s1"]
    assert [holder.session_id for holder in lock.read().holders] == ["s2"]


def test_a_lock_object_that_nobody_can_read_is_deleted(cloud: "Cloud", lock: SessionLock) -> None:
    cloud.s3.put_object(Bucket="recordings", Key=LOCK_KEY, Body=b"?")
    assert run("release", "--yes").exit_code == 0
    assert not lock.read().held


def test_only_what_cannot_be_read_is_deleted(lock: SessionLock) -> None:
    lock.take("alice", "s1")
    assert not lock.remove_unreadable()
    assert lock.read().held


def test_releasing_a_free_lock_is_done_at_once() -> None:
    assert run("release").exit_code == 0


def test_a_release_that_is_not_to_ask_says_so() -> None:
    assert run("release", "--json").exit_code == 2


# --- holding it


@pytest.fixture
def held(cloud: "Cloud", clock: "FakeClock") -> SessionLock:
    return SessionLock(cloud.s3, cloud.settings.bucket, clock, timedelta(minutes=30))


def test_a_hold_is_refreshed_for_its_time_and_given_up(
    held: SessionLock, clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: somebody who looks at the lock each time that it is about to be refreshed
    began = clock.now()
    seen: list[tuple[bool, float]] = []

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        seen.append((held.read().held, seconds))

    monkeypatch.setattr(clock, "sleep", sleep)
    # when
    hold(held, ("ops", "upgrade"), clock, seconds=25 * 60, refresh_seconds=600, tell=lambda _: None)
    # then
    assert seen == [(True, 600), (True, 600), (True, 300)]
    assert clock.now() - began == timedelta(minutes=25)
    assert not held.read().held


def test_a_hold_that_is_interrupted_is_given_up(
    held: SessionLock, clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    held.take("alice", "s1")

    def interrupt(_: float) -> None:
        assert len(held.read().holders) == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hold(held, ("ops", "upgrade"), clock, seconds=None, refresh_seconds=600, tell=lambda _: None)
    assert [holder.user_id for holder in held.read().holders] == ["alice"]


def test_a_refresh_that_fails_for_a_moment_is_told_and_tried_again(
    held: SessionLock, clock: "FakeClock", monkeypatch: pytest.MonkeyPatch
) -> None:
    take = held.take
    told: list[str] = []
    calls = 0

    def flaky(user: str, session: str) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise EndpointConnectionError(endpoint_url="injected")
        return take(user, session)

    monkeypatch.setattr(held, "take", flaky)
    hold(held, ("ops", "upgrade"), clock, seconds=1200, refresh_seconds=600, tell=told.append)
    assert any("could not refresh the hold (EndpointConnectionError)" in line for line in told)
    assert calls == 3
    assert not held.read().held


# --- through the console script


def test_the_console_script_takes_the_lock_and_gives_it_up(cloud: "Cloud", lock: SessionLock) -> None:
    def script(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "deploy", "lock", *arguments],
            env={**os.environ, **cloud.environment()},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    said = script("take", "--user", "ops", "--session", "upgrade", "--minutes", "0.001")
    assert said.splitlines() == ["holding as ops/upgrade; Ctrl-C gives it up", "given up"]
    lock.take("alice", "s1")
    assert "alice/s1" in script("show")
    assert "lock is free" in script("release", "--yes")
