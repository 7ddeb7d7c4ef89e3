"""The workers, by what they last said of themselves, and so what is known of the model on their hosts.

Nothing here reaches into a host; `scribefleet doctor --host` looks from inside.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, unknown, warning
from deploy.doctor.instances import FIRST_BOOT
from shared.clock import human_duration
from shared.formats.heartbeat import Heartbeat
from shared.settings import Settings
from shared.state.fleet_view import Instance, read_fleet
from shared.state.ledger import Ledger

# Clocks of two machines differ by seconds; the autoscaler draws the line at the same place.
_SKEW = timedelta(minutes=2)


def look_at_workers(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The worker of each running instance, and the model of whatever has run lately."""
    ledger = Ledger(fleet.clients.dynamodb, fleet.settings, fleet.clock)
    view = read_fleet(fleet.clients.ec2, ledger, fleet.settings.fleet_name)
    if isinstance(view.instances, Exception):
        raise view.instances
    if isinstance(view.heartbeats, Exception):
        raise view.heartbeats
    beats, invalid = view.heartbeats.valid, view.heartbeats.invalid
    for name in sorted(invalid):
        seen = f"{name} says something that this version does not understand"
        yield warning("worker", seen, "bring the worker and this command to the same version")
    now = fleet.clock.now()
    for instance in sorted(view.instances, key=lambda instance: instance.id):
        if instance.state == "running" and instance.id not in invalid:
            yield worker_finding(instance, instance.heartbeat_in(beats), fleet.settings, now)
    yield model_finding(beats.values(), now)


def worker_finding(instance: Instance, beat: Heartbeat | None, settings: Settings, now: datetime) -> Finding:
    """Whether the worker of a running instance lives.

    Args:
        beat: its last heartbeat since the instance booted.
    """
    name, booted = instance.id, instance.boot_start
    session = f"aws ssm start-session --target {name}"
    remedy = f"{session}, then scribefleet doctor --host and journalctl -u scribefleet-worker -b"
    if beat is None:
        seen = f"{name} has run for {_span(now - booted)} and its worker has said nothing"
        patience = _patience(instance, settings)
        if now - booted <= patience:
            return ok("worker", f"{seen}; it may take {_span(patience)} to boot")
        return failure("worker", seen, remedy)
    age = now - beat.beat_at
    if age < -_SKEW:
        seen = f"{name} has a heartbeat {_span(-age)} in the future"
        return failure("worker", seen, f"{session}, then let NTP set its clock: sudo chronyc makestep")
    if age.total_seconds() > settings.silent_limit_seconds:
        return failure("worker", f"{name} was last heard {_span(age)} ago ({beat.state})", remedy)
    return ok("worker", f"{name} is {beat.state}, heard {_span(age)} ago, {beat.jobs_done} jobs done in this run")


def model_finding(beats: Collection[Heartbeat], now: datetime) -> Finding:
    """What is known of the model: a worker leaves the state `starting` only after the model has heard a known clip."""
    heard = [beat for beat in beats if beat.state != "starting"]
    if heard:
        last = max(heard, key=lambda beat: beat.beat_at)
        seen = f"passed its self-test on {last.instance_id}, which was heard {_span(now - last.beat_at)} ago"
        return ok("model", seen)
    if beats:
        last = max(beats, key=lambda beat: beat.beat_at)
        return unknown(
            "model",
            f"the worker on {last.instance_id} got no further than starting, {_span(now - last.beat_at)} ago",
            "while it runs: wait. After it: its log says why, in the log group /scribefleet/FLEET/worker",
        )
    return unknown("model", "no worker has been heard in a week", "run `scribefleet selftest`, which starts one")


def _patience(instance: Instance, settings: Settings) -> timedelta:
    """How long a boot may take; an instance of the pool that nobody owns may be in its first, which sets it up."""
    usual = timedelta(seconds=settings.boot_limit_seconds)
    return usual if instance.owned or settings.capacity_provider == "asg" else max(usual, FIRST_BOOT)


def _span(span: timedelta) -> str:
    return human_duration(max(0.0, span.total_seconds()))
