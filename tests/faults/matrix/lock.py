"""Faults of the lock: held, refreshed, forgotten, garbage, contended by many recorders, out of reach."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Final

from deploy.local.cloud import EmbeddedCloud
from shared.clock import SystemClock
from shared.state.lock import SessionLock
from tests.faults.harness.effects import DENIED, Then
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import Rule, Switch
from tests.faults.harness.scenario import Broken, Expected, Fault
from tests.faults.harness.stillness import LOCK, keeps_still
from tests.faults.matrix.baseline import two_sessions

SMALL_WINDOWS: Final = {"window_seconds": 12, "context_seconds": 2}
"""So that there are many windows, and most of them are left when a hold begins."""
WINDOW_TAKES: Final = 0.4

_RECORDERS: Final = 50
_RELEASE_AT_ONCE: Final = 5
_STALE_SECONDS: Final = 60


def at_work(fleet: Fleet) -> None:
    """A worker with two sessions' work, which has begun its second window."""
    two_sessions(fleet)
    fleet.start_worker("worker-1", seconds_per_window=WINDOW_TAKES)
    fleet.proxy.wait_for("model:TranscribeBegin", count=2, timeout=60)


def _taken(fleet: Fleet) -> None:
    at_work(fleet)
    fleet.take_lock("live", "now")
    keeps_still(fleet, "worker-1")
    fleet.release_lock("live", "now")


def _refreshed(fleet: Fleet) -> None:
    """Each refresh is a few seconds from going stale, and the hold lasts longer than any of them."""
    at_work(fleet)
    began, refreshes = time.monotonic(), 0
    lasts = 6.0
    while time.monotonic() < began + 1.5 * lasts:
        fleet.take_lock("live", "now", seconds_ago=_STALE_SECONDS - lasts)
        refreshes += 1
        time.sleep(0.5)
    keeps_still(fleet, "worker-1", looks=3)
    if refreshes < 3:
        raise Broken(f"the hold was refreshed {refreshes} times only")
    fleet.release_lock("live", "now")


def _expired(fleet: Fleet) -> None:
    """The recorder is gone, and its hold has a few seconds left when it is last seen."""
    at_work(fleet)
    fleet.take_lock("live", "now", seconds_ago=_STALE_SECONDS - 8)
    (hold,) = fleet.holds
    keeps_still(fleet, "worker-1", looks=3)
    if time.monotonic() > hold.end:
        raise Broken("the hold was over before the fleet was still")
    done = len(fleet.proxy.journal.calls("model:TranscribeBegin"))
    fleet.proxy.wait_for("model:TranscribeBegin", count=done + 1, timeout=60)
    if time.monotonic() < hold.end:
        raise Broken("work went on before the hold was stale")


def _corrupted(fleet: Fleet) -> None:
    at_work(fleet)
    fleet.recorder.write(b'{"locked": tru')
    keeps_still(fleet, "worker-1")
    _says(fleet, 1, "batch-lock.json is not a valid lock object", "show")
    # A recorder leaves alone what it does not understand, or two versions of it could fight over the lock.
    try:
        fleet.take_lock("live", "now")
    except ValueError:
        keeps_still(fleet, "worker-1", looks=2)
    else:
        raise Broken("a recorder wrote over a lock that it could not read")
    fleet.proxy.add(Rule("s3:DeleteObject", Then(lambda _: fleet.recorder.overruled()), target=LOCK))
    _says(fleet, 0, "deleted", "release", "--yes")


def _released_by_operator(fleet: Fleet) -> None:
    """Two recorders have died; the operator gives up the hold of one, and then all."""
    at_work(fleet)
    fleet.take_lock("live", "dead")
    fleet.take_lock("live", "dead-too")
    keeps_still(fleet, "worker-1")
    _says(fleet, 0, "released: live/dead\n", "release", "--session", "dead", "--yes")
    keeps_still(fleet, "worker-1", looks=3)
    fleet.proxy.add(Rule("s3:DeleteObject", Then(lambda _: fleet.recorder.overruled()), target=LOCK))
    _says(fleet, 0, "released: live/dead-too", "release", "--yes")


def _says(fleet: Fleet, status: int, text: str, *arguments: str) -> None:
    """Run `scribefleet lock`, and see that it says what it should."""
    command = fleet.start_command("recorder-operator", "lock", *arguments)
    ended = command.wait(60)
    if ended != status or text not in command.log():
        raise Broken(f"`lock {' '.join(arguments)}` ended with {ended} and said {command.log()!r}")


def _contended(fleet: Fleet) -> Expected:
    """Fifty recorders take it at the same moment, and give it up a few at a time; none loses its hold to another."""
    at_work(fleet)
    fleet.take_lock("live", "0")
    locks = {str(number): _recorders_lock(fleet) for number in range(1, _RECORDERS + 1)}
    _side_by_side([partial(lock.take, "live", name) for name, lock in locks.items()], len(locks))
    held = {holder.session_id for holder in fleet.recorder.read().holders}
    if missing := {"0", *locks} - held:
        raise Broken(f"of {len(locks)} recorders {len(missing)} lost their hold: {sorted(missing)[:5]}")
    keeps_still(fleet, "worker-1")
    _side_by_side([partial(lock.release, "live", name) for name, lock in locks.items()], _RELEASE_AT_ONCE)
    left = [holder.session_id for holder in fleet.recorder.read().holders]
    if left != ["0"]:
        raise Broken(f"when {len(locks)} recorders had released it, it was held by {left}")
    keeps_still(fleet, "worker-1", looks=3)
    fleet.release_lock("live", "0")
    return Expected(injected=2 * _RECORDERS)


def _recorders_lock(fleet: Fleet) -> SessionLock:
    """The lock as a recorder of its own sees it: through the proxy, where writes with a condition take turns."""
    stale = timedelta(minutes=fleet.settings.lock_stale_minutes)
    s3 = EmbeddedCloud(fleet.proxy.endpoint("recorder"), fleet.workspace).s3()
    return SessionLock(s3, fleet.settings.bucket, SystemClock(), stale)


def _side_by_side(deeds: Sequence[Callable[[], object]], threads: int) -> None:
    """Do all, so many at the same moment; raises what one of them raises."""
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(deed) for deed in deeds]:
            done.result()


def _unreadable(fleet: Fleet) -> None:
    """S3 refuses to say who holds it; nobody does, but the fleet cannot know."""
    at_work(fleet)
    refused = Switch()
    fleet.proxy.add(Rule("s3:GetObject", DENIED, actor="worker-1", target=LOCK, during=refused))
    with refused.opened():
        keeps_still(fleet, "worker-1", looks=12)
        if not fleet.processes[-1].events("lock_unreadable"):
            raise Broken("the worker did not say that it cannot read the lock")


FAULTS: Final = (
    Fault(
        name="lock-taken-and-released",
        group="lock",
        what="A live session takes the lock while a worker is at work, and releases it.",
        script=_taken,
        settings=SMALL_WINDOWS,
        injected=1,
    ),
    Fault(
        name="lock-refreshed",
        group="lock",
        what="A live session refreshes its hold again and again, each time seconds before it would be stale.",
        script=_refreshed,
        settings=SMALL_WINDOWS | {"lock_stale_minutes": 1},
        injected=1,
    ),
    Fault(
        name="lock-expired",
        group="lock",
        what="A recorder dies and never gives up its hold; work goes on when the hold is stale, and not before.",
        script=_expired,
        settings=SMALL_WINDOWS | {"lock_stale_minutes": 1},
        injected=1,
    ),
    Fault(
        name="lock-corrupted",
        group="lock",
        what="The lock object is garbage, which counts as held until `scribefleet lock release` deletes it.",
        script=_corrupted,
        settings=SMALL_WINDOWS,
        injected=1,
    ),
    Fault(
        name="lock-released-by-operator",
        group="lock",
        what="Two recorders die holding the lock; `scribefleet lock release` ends one hold, then the other.",
        script=_released_by_operator,
        settings=SMALL_WINDOWS,
        injected=2,
    ),
    Fault(
        name="lock-contended-by-50",
        group="lock",
        what="Fifty recorders take the lock at the same moment, and later release it, five at a time.",
        script=_contended,
        settings=SMALL_WINDOWS,
        bounds_seconds=180,
    ),
    Fault(
        name="lock-unreadable",
        group="lock",
        what="S3 refuses to let the worker read the lock, which counts as held.",
        script=_unreadable,
        settings=SMALL_WINDOWS,
    ),
)
