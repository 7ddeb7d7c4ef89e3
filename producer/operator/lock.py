"""`scribefleet lock`: shows who holds the lock of live sessions, holds it by hand, and takes it away from others.

The lock itself is `shared.state.lock`'s business; recorders and workers know nothing of these commands.
"""

import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from types import FrameType
from typing import Any, Final, NoReturn

import click

from producer.operator.console import begin, say, say_json
from shared.aws import clients
from shared.clock import Clock, SystemClock, human_duration, iso
from shared.errors import AWS_ERRORS, TransientError, cause_of, is_retryable
from shared.settings import Settings
from shared.state.lock import Holder, LockState, SessionLock

_EXIT_INTERRUPTED: Final = 130


@click.group()
def lock() -> None:
    """Show, take or release the lock of live sessions, under which nothing starts and no new job is taken."""


@lock.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(*, as_json: bool) -> None:
    """Show who holds the lock, and since when.

    Exit codes: 0 free or held, 1 it could not be read, and so counts as held.
    """
    settings, clock = begin(), SystemClock()
    state = _lock(settings, clock).read()
    if as_json:
        say_json(_document(state, settings, clock.now()))
    else:
        say(*_lines(state, settings, clock.now()))
    sys.exit(1 if state.problem else 0)


@lock.command()
@click.option("--user", "user_id", required=True, metavar="ID", help="The user id to hold it with.")
@click.option("--session", "session_id", required=True, metavar="ID", help="The session id to hold it with.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="For how long.  [default: until Ctrl-C]")
def take(*, user_id: str, session_id: str, minutes: float | None) -> None:
    """Hold the lock by hand, and give it up at the end: meanwhile no GPU starts and no worker takes a job.

    The hold is refreshed for as long as this runs. It takes nothing away from others that hold the lock.

    Exit codes: 0 held for its time, 1 AWS refused, 130 ended by Ctrl-C.
    """
    settings, clock = begin(), SystemClock()
    if not settings.lock_enabled:
        say("warning: the lock is off by setting, so nobody looks at it", err=True)
    # A service manager ends this with SIGTERM: give the hold up as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        hold(
            _lock(settings, clock),
            (user_id, session_id),
            clock,
            seconds=minutes * 60 if minutes else None,
            refresh_seconds=settings.lock_stale_minutes * 60 / 3,
            tell=say,
        )
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


@lock.command()
@click.option("--user", "user_id", metavar="ID", help="Only this user's holds.")
@click.option("--session", "session_id", metavar="ID", help="Only this session's holds.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --yes.")
def release(*, user_id: str | None, session_id: str | None, yes: bool, as_json: bool) -> None:
    """Take the lock away from sessions that hold it: for recorders that are gone without having given it up.

    Shows the holders and asks. A recorder that is alive takes the lock again when it refreshes its hold; until then
    the GPU works beside it. Only the holds that were shown are released. A lock object that cannot be read is deleted.

    Exit codes: 0 done, or there was nothing to do, 1 declined, or AWS refused, 2 wrong use.
    """
    if as_json and not yes:
        raise click.UsageError("--json does not ask: it goes with --yes")
    settings, clock = begin(), SystemClock()
    the_lock = _lock(settings, clock)
    seen = the_lock.read()
    holders = [
        holder
        for holder in seen.holders
        if user_id in {None, holder.user_id} and session_id in {None, holder.session_id}
    ]
    if not as_json:
        say(*_lines(seen, settings, clock.now()))
    unreadable = seen.problem is not None and user_id is None and session_id is None
    released, deleted = [], False
    if holders or unreadable:
        if not yes:
            what = f"{len(holders)} holds" if holders else "the lock that cannot be read"
            click.confirm(f"Release {what}? A session that is live now is no longer protected.", abort=True)
        deleted = unreadable and the_lock.remove_unreadable()
        for holder in holders:
            the_lock.release(holder.user_id, holder.session_id)
            released.append(holder)
    after = the_lock.read()
    if as_json:
        done = {"released": [_holder(h, clock.now()) for h in released], "deletedUnreadable": deleted}
        say_json({**_document(after, settings, clock.now()), **done})
    else:
        say(*(f"released: {h.user_id}/{h.session_id}" for h in released), *["deleted"] * deleted, after.describe())
    sys.exit(1 if after.problem else 0)


def hold(
    the_lock: SessionLock,
    whose: tuple[str, str],
    clock: Clock,
    *,
    seconds: float | None,
    refresh_seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Hold the lock and refresh the hold, until the time is over or something is raised; then give it up.

    Args:
        whose: user id and session id.
        seconds: how long; `None` is until something is raised.

    Raises what the lock raises when it is first taken. A refresh that fails for a moment is told and tried again.
    """
    user_id, session_id = whose
    the_lock.take(user_id, session_id)
    tell(f"holding as {user_id}/{session_id}; Ctrl-C gives it up")
    end = None if seconds is None else clock.monotonic() + seconds
    try:
        while end is None or clock.monotonic() < end:
            left = refresh_seconds if end is None else end - clock.monotonic()
            clock.sleep(min(refresh_seconds, left))
            try:
                the_lock.take(user_id, session_id)
            except (TransientError, *AWS_ERRORS) as error:
                if not is_retryable(error):
                    raise
                tell(f"could not refresh the hold ({cause_of(error)}); trying again")
    finally:
        the_lock.release(user_id, session_id)
        tell("given up")


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _lock(settings: Settings, clock: Clock) -> SessionLock:
    return SessionLock(clients.s3_client(), settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))


def _lines(state: LockState, settings: Settings, now: datetime) -> list[str]:
    lines = [] if settings.lock_enabled else ["the lock is off by setting: workers and autoscaler do not look at it"]
    if state.problem or not state.holders:
        return [*lines, state.describe()]
    lines.append("held by:")
    for holder in state.holders:
        ago = human_duration((now - holder.timestamp).total_seconds())
        lines.append(f"  {holder.user_id}/{holder.session_id}  refreshed {ago} ago")
    return lines


def _document(state: LockState, settings: Settings, now: datetime) -> dict[str, Any]:
    return {
        "enabled": settings.lock_enabled,
        "held": state.held,
        "problem": state.problem,
        "holders": [_holder(holder, now) for holder in state.holders],
    }


def _holder(holder: Holder, now: datetime) -> dict[str, Any]:
    return {
        "userId": holder.user_id,
        "sessionId": holder.session_id,
        "timestamp": iso(holder.timestamp),
        "ageSeconds": round((now - holder.timestamp).total_seconds()),
    }
