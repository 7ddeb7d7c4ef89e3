"""One self-test, from the upload to the comparison. What a look means and how it is cleaned up stand elsewhere."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from autoscaler.observe import Observer
from autoscaler.result import TickResult
from deploy.clients import OperatorClients
from deploy.selftest.cleaning import Cleaned, Cleaner
from deploy.selftest.session import GAP, SAID, TrialSession, enqueue, gap_job, new_session, upload
from deploy.selftest.stage import Look, Stage, Step, stage_of
from shared.clock import Clock, human_duration
from shared.errors import AWS_ERRORS, LedgerError, is_missing, is_retryable
from shared.reporting.reports import cost_usd
from shared.session.matching import share_heard
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock

_POLL_INTERVAL_SECONDS: Final = 3.0
# A step that lasts this long is explained: by what the autoscaler would do now, and why.
_EXPLAIN_SECONDS: Final = 60.0
# The smallest models hear all of it; a wrong one hears nothing, or something else.
_MIN_SHARE: Final = 0.5
# S3's times are whole seconds, and a scan looks at the chunk's age by its own clock.
_AGE_MARGIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class SelfTestOptions:
    """How to test.

    Attributes:
        timeout_seconds: how long the transcript may take from the moment the job is queued.
        scan: whether the deployed scanner is to find the gap, instead of a job queued here.
        keep: whether the session is left in the bucket.
    """

    timeout_seconds: float
    scan: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class SelfTestParts:
    """What a self-test works through.

    Attributes:
        plan: what the autoscaler would do now; nothing is done.
        scan: invokes the deployed scanner.
    """

    clients: OperatorClients
    settings: Settings
    observer: Observer
    ledger: Ledger
    cleaner: Cleaner
    clock: Clock
    plan: Callable[[], TickResult]
    scan: Callable[[], object]


@dataclass(slots=True)
class SelfTestResult:
    """What became of a self-test.

    Attributes:
        reason: why it did not pass; empty where it did.
        advice: what to do about that.
        seconds: from the job's queueing to its transcript; `None` without one.
        started_instance: whether an instance was started for it, whose run it has to pay.
        cost_usd: of that run up to its end, if no other work comes; 0 where an instance was running anyhow.
    """

    session: TrialSession
    passed: bool = False
    reason: str = ""
    advice: str = ""
    heard: str = ""
    share: float = 0.0
    seconds: float | None = None
    worker: str = ""
    started_instance: bool = False
    cost_usd: float = 0.0
    interrupted: bool = False
    cleaned: Cleaned = field(default_factory=Cleaned)


Tell = Callable[[str], None]


class FleetSelfTest:
    """One self-test; `tell` is given a sentence whenever something has happened."""

    def __init__(self, parts: SelfTestParts, options: SelfTestOptions, tell: Tell) -> None:
        self._parts = parts
        self._options = options
        self._tell = tell
        self._clock = parts.clock
        self._queued = False
        self._uploaded_at = parts.clock.now()
        self._scan_asked = False
        self._last = Look(parts.observer.observe(), {}, published=False)

    def run(self) -> SelfTestResult:
        """Upload, queue, wait, compare, clean up; Ctrl-C ends it early and cleans up all the same.

        Never raises for what AWS refuses: that is the reason in the result.
        """
        result = SelfTestResult(new_session(self._clock.now()))
        try:
            self._run(result)
        except KeyboardInterrupt:
            result.interrupted, result.passed, result.reason = True, False, "interrupted"
        except AWS_ERRORS as error:
            result.passed, result.reason, result.advice = False, f"AWS: {error}", "run `scribefleet doctor`"
        finally:
            if not self._options.keep:
                self._tell("cleaning up")
                status = self._job(result.session).get("status")
                result.cleaned = self._parts.cleaner.clean(result.session, queued=self._queued, status=status)
        return result

    def _run(self, result: SelfTestResult) -> None:
        self._send(result.session)
        began = self._clock.monotonic()
        stage = self._wait(result.session, began)
        if stage.step is Step.PUBLISHED:
            result.seconds = round(self._clock.monotonic() - began, 1)
            self._compare(result)
            self._count_cost(result)
        elif stage.step is Step.FAILED:
            result.reason = stage.text
            result.advice = "docs/how-it-works.md explains the reason; the worker's log has the rest"
        else:
            waited = human_duration(self._options.timeout_seconds)
            result.reason = f"no transcript after {waited}. It waits: {stage.text}"
            result.advice = f"{self._why()}. Run `scribefleet doctor`"

    # --- sending

    def _send(self, session: TrialSession) -> None:
        parts = self._parts
        self._uploaded_at = self._clock.now()
        upload(parts.clients.s3, parts.settings.bucket, session)
        self._tell(f"uploaded a session of three chunks, the second without a transcript: {session.path}")
        self._queued = True
        if self._options.scan:
            return
        job = gap_job(session, parts.settings.bucket, self._clock.now())
        enqueue(parts.clients.sqs, parts.ledger, parts.settings.priority_queue_url, job)
        self._tell("queued its job on the priority queue")

    def _scan_in(self) -> float | None:
        """Seconds until the deployed scanner can see the gap; it is invoked at that moment."""
        if not self._options.scan:
            return None
        age = timedelta(seconds=self._parts.settings.scan_min_age_seconds) + _AGE_MARGIN
        left = (self._uploaded_at + age - self._clock.now()).total_seconds()
        if left <= 0 and not self._scan_asked:
            self._scan_asked = True
            self._parts.scan()
        return max(0.0, left)

    # --- waiting

    def _wait(self, session: TrialSession, began: float) -> Stage:
        """The stage in which the job is over, or that at the end of the patience."""
        patience = self._options.timeout_seconds
        if self._options.scan:
            patience += self._parts.settings.scan_min_age_seconds
        told, since = "", began
        while True:
            stage = stage_of(self._look(session))
            now = self._clock.monotonic()
            if stage.text != told:
                self._tell(stage.text)
                told, since = stage.text, now
            elif now - since >= _EXPLAIN_SECONDS and stage.step in {Step.QUEUED, Step.STARTING, Step.LOADING}:
                self._tell(f"still so after {human_duration(now - began)}. {self._why()}")
                since = now
            if stage.over or now - began >= patience:
                return stage
            self._clock.sleep(_POLL_INTERVAL_SECONDS)

    def _look(self, session: TrialSession) -> Look:
        self._last = Look(
            self._parts.observer.observe(), self._job(session), self._is_published(session), self._scan_in()
        )
        return self._last

    def _job(self, session: TrialSession) -> Mapping[str, Any]:
        try:
            return self._parts.ledger.session_jobs(session.path).get(GAP, {})
        except LedgerError:
            return {}  # it only informs; the transcript tells the end

    def _is_published(self, session: TrialSession) -> bool:
        try:
            self._parts.clients.s3.head_object(Bucket=self._parts.settings.bucket, Key=session.gap_key)
        except AWS_ERRORS as error:
            if is_missing(error) or is_retryable(error):
                return False
            raise
        return True

    def _why(self) -> str:
        """Why nothing goes on, in the words of the autoscaler's own decision."""
        plan = self._parts.plan()
        said = [f"The autoscaler's decision now: {plan.reason}", *plan.observation.problems, *plan.plan.alarms]
        return "; ".join(said)

    # --- the result

    def _compare(self, result: SelfTestResult) -> None:
        bucket, key = self._parts.settings.bucket, result.session.gap_key
        transcript = json.loads(self._parts.clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        result.heard = str(transcript.get("text", "")).strip()
        result.share = share_heard(SAID, result.heard)
        result.passed = result.share >= _MIN_SHARE
        if not result.passed:
            result.reason = f"the worker heard {result.heard!r} where {' '.join(SAID)!r} is said"
            result.advice = "on the host: `scribefleet model check`; the model or its libraries are wrong"

    def _count_cost(self, result: SelfTestResult) -> None:
        result.worker = str(self._last.job.get("workerId", ""))
        instances = self._last.observation.instances or ()
        at = next((instance for instance in instances if instance.id == result.worker), None)
        if at is None or at.run_start < self._uploaded_at - timedelta(minutes=1):
            return
        settings, now = self._parts.settings, self._clock.now()
        idle = settings.max_empty_polls * settings.long_poll_seconds
        result.started_instance = True
        result.cost_usd = cost_usd(_seconds(at.run_start, now) + idle, settings.price_usd_per_hour)


def make_parts(
    clients: OperatorClients,
    settings: Settings,
    clock: Clock,
    plan: Callable[[], TickResult],
    scan: Callable[[], object],
) -> SelfTestParts:
    """A self-test's parts for one fleet."""
    ledger = Ledger(clients.dynamodb, settings, clock)
    lock = SessionLock(clients.s3, settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
    observer = Observer(clients.sqs, clients.ec2, lock, ledger, settings)
    return SelfTestParts(clients, settings, observer, ledger, Cleaner(clients, settings), clock, plan, scan)


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
