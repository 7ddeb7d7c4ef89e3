"""How far the self-test's job is, told from one look at the fleet. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autoscaler.model import Instance, Observation
from shared.formats.heartbeat import Heartbeat


class Step(StrEnum):
    """Where the job is."""

    YOUNG = "young"  # not old enough for a scan
    UNSEEN = "unseen"  # no scan has found the gap yet
    LOCKED = "locked"  # a live session has the GPU
    QUEUED = "queued"  # nothing runs that could take it
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"  # a worker polls
    WORKING = "working"
    PUBLISHED = "published"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw.

    Attributes:
        job: the ledger's entry for the gap; empty where there is none, or the ledger is away.
        published: whether the transcript is in the bucket.
        scan_in_seconds: how long until the chunk is old enough for a scan, where one is waited for.
    """

    observation: Observation
    job: Mapping[str, Any]
    published: bool
    scan_in_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A step, and a sentence about it that changes only when something has happened."""

    step: Step
    text: str

    @property
    def over(self) -> bool:
        return self.step in {Step.PUBLISHED, Step.FAILED}


def stage_of(look: Look) -> Stage:
    """The furthest step that the look shows."""
    status = look.job.get("status")
    if status == "failed":
        return Stage(Step.FAILED, f"the job failed for good: {look.job.get('error') or 'no reason given'}")
    # The ledger is written after the transcript; where the ledger is away the transcript alone has to do.
    if look.published and status in {"completed", "skipped", None}:
        return Stage(Step.PUBLISHED, "the transcript is published")
    if status is None and look.scan_in_seconds:
        return Stage(Step.YOUNG, "the chunk is too young for a scan; the scanner is invoked when it is old enough")
    return _waiting(look)


def _waiting(look: Look) -> Stage:
    """What the job waits for."""
    status = look.job.get("status")
    if look.observation.lock.held:
        who = look.observation.lock.describe()
        return Stage(Step.LOCKED, f"{who}: the fleet waits for it, and so does this test")
    if status == "processing":
        return Stage(Step.WORKING, f"{look.job.get('workerId', 'a worker')} is at work on it{_again(look.job)}")
    if status is None and look.scan_in_seconds is not None:
        return Stage(Step.UNSEEN, "the scanner has been invoked; it lists the whole bucket")
    return _by_instances(look)


def _by_instances(look: Look) -> Stage:
    """The instance that is furthest on its way to taking the job."""
    found = [_of_instance(each, look.observation.heartbeat_of(each)) for each in look.observation.instances or ()]
    order = (Step.READY, Step.LOADING, Step.STARTING)
    on_the_way = sorted((s for s in found if s.step in order), key=lambda s: order.index(s.step))
    if on_the_way:
        return on_the_way[0]
    going = [s.text for s in found if s.text]
    waits = f"queued{_again(look.job)}: no instance runs, the autoscaler decides each minute"
    return Stage(Step.QUEUED, "; ".join((waits, *going)))


def _of_instance(instance: Instance, heartbeat: Heartbeat | None) -> Stage:
    """What one instance does towards the job; a stopped one does nothing and has no text."""
    name = instance.id
    if instance.state != "running":
        step = Step.STARTING if instance.state == "pending" else Step.QUEUED
        return Stage(
            step, {"pending": f"{name} is starting", "stopping": f"{name} is stopping"}.get(instance.state, "")
        )
    if heartbeat is None:
        return Stage(Step.STARTING, f"{name} boots; its worker has not been heard yet")
    if heartbeat.state == "starting":
        return Stage(Step.LOADING, f"the worker on {name} loads the model")
    if heartbeat.state == "draining":
        return Stage(Step.QUEUED, f"{name} ends its run and takes no more jobs")
    return Stage(Step.READY, f"the worker on {name} is {heartbeat.state}; it takes the job with one of its next polls")


def _again(job: Mapping[str, Any]) -> str:
    """A job's second and later tries, with what became of the one before."""
    attempts, error = int(job.get("attempts", 0)), job.get("error")
    tried = f", try {attempts}" if attempts > 1 else ""
    return f"{tried}, came back once: {error}" if error else tried
