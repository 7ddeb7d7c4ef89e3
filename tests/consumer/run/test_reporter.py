"""A run's report is written however the run ends, and told of; neither is worth a run."""

from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from consumer.jobs.stages import JobRecord
from consumer.model.transcriber import TranscriberBrokenError
from consumer.run.loop import WorkerBrokenError
from consumer.run.reporter import DeadLetterNotices
from consumer.run.results import JobEnded, ModelWorked
from shared.reporting.notify import Notification, Notifier
from shared.reporting.reports import ReportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumer.conftest import Crew, MakeCrew, Refuse


class Told(Notifier):
    """Keeps what it is told, and refuses to take it as often as asked."""

    def __init__(self) -> None:
        self.refusals = 0
        self.heard: list[Notification] = []

    @override
    def notify(self, notification: Notification) -> bool:
        if self.refusals:
            self.refusals -= 1
            return False
        self.heard.append(notification)
        return True

    def events(self) -> list[tuple[str, str]]:
        return [(each.event, each.status) for each in self.heard]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def owned_crew(crew: "MakeCrew", instance: "Callable[..., str]", told: Told) -> "Crew":
    return crew(instance_id=instance(owned=True), until_empty=False, notifier=told)


def page(one: "Crew") -> str:
    listed = one.cloud.s3.list_objects_v2(Bucket=one.settings.bucket, Prefix="batch-reports/")["Contents"]
    (key,) = [item["Key"] for item in listed if item["Key"].endswith(".html")]
    return one.cloud.s3.get_object(Bucket=one.settings.bucket, Key=key)["Body"].read().decode()


def test_a_run_that_ends_by_itself_is_reported_with_its_timeline_and_told_of(owned_crew: "Crew", told: Told) -> None:
    owned_crew.job()
    owned_crew.transcriber.during = lambda: owned_crew.clock.advance(7)
    owned_crew.run()
    [report] = owned_crew.reports()
    assert (report["status"], report["reason"]) == ("success", None)
    assert report["performance"]["shutdownSeconds"] == 0  # the test's clock stands still meanwhile
    assert told.events() == [("run-finished", "success")]
    assert told.heard[0].facts["reportKey"] == f"batch-reports/{report['reportId']}.json"
    shown = page(owned_crew)
    assert '<rect class="completed"' in shown
    assert "<title>working, 7s</title>" in shown


def test_a_run_that_is_asked_to_stop_says_by_what(owned_crew: "Crew", told: Told) -> None:
    for session in ("s1", "s2", "s3", "s4"):
        owned_crew.job(session=session)
    owned_crew.transcriber.during = lambda: owned_crew.stop.request_within(60, "spot notice: soon")
    owned_crew.run()
    [report] = owned_crew.reports()
    assert (report["status"], report["reason"]) == ("interrupted", "spot notice: soon")
    assert owned_crew.heartbeat_state() == "draining"
    assert told.events() == [("run-finished", "interrupted")]
    assert owned_crew.waiting() == (3, 0)


def test_a_run_whose_transcriber_breaks_is_interrupted_and_a_person_is_told(owned_crew: "Crew", told: Told) -> None:
    owned_crew.job()

    def breaks() -> None:
        raise TranscriberBrokenError("CUDA error: an illegal memory access was encountered")

    owned_crew.transcriber.during = breaks
    with pytest.raises(WorkerBrokenError):
        owned_crew.run()
    [report] = owned_crew.reports()
    assert (report["status"], report["reason"]) == ("interrupted", "the worker broke: WorkerBrokenError")
    assert told.events() == [("run-failed", "interrupted")]
    assert owned_crew.waiting() == (1, 0)


def test_a_run_whose_job_hangs_is_reported_while_its_thread_hangs_on(owned_crew: "Crew", told: Told) -> None:
    owned_crew.job()
    owned_crew.transcriber.during = owned_crew.worker.report_hang  # as the lease keeper's thread calls it meanwhile
    owned_crew.run()
    reasons = {report["status"]: report["reason"] for report in owned_crew.reports()}
    assert reasons["interrupted"] == "a job hung, so the worker was ended"
    assert told.events()[0] == ("run-failed", "interrupted")


def test_the_report_of_a_hang_holds_what_the_stuck_loop_has_not_counted_yet(owned_crew: "Crew") -> None:
    owned_crew.pipeline.results.put(ModelWorked(2))
    owned_crew.pipeline.results.put(JobEnded(JobRecord(owned_crew.job(), "completed", 4), owned_crew.clock.now()))
    owned_crew.worker.report_hang()
    [report] = owned_crew.reports()
    assert (report["status"], report["transcription"]["chunksTranscribed"]) == ("interrupted", 1)
    assert report["performance"]["rtfx"] == 2


def test_a_result_counts_when_it_came_and_not_when_it_is_counted(owned_crew: "Crew") -> None:
    results = owned_crew.pipeline.results
    results.put(JobEnded(JobRecord(owned_crew.job(), "completed"), owned_crew.clock.now()))
    owned_crew.clock.advance(20)
    counted = owned_crew.reporter.count(results)
    assert [record.outcome for record in counted] == ["completed"]
    timeline = owned_crew.reporter.record.timeline
    assert [slice_.jobs for slice_ in timeline.slices] == [{"completed": 1}]
    assert owned_crew.reporter.count(results) == []


def test_a_run_that_fails_before_its_first_job_is_reported_where_the_fleet_pays_for_it(
    owned_crew: "Crew", told: Told
) -> None:
    owned_crew.reporter.report("failed", "no model that works: SelfTestError")
    [report] = owned_crew.reports()
    assert (report["status"], report["reason"]) == ("failed", "no model that works: SelfTestError")
    assert told.events() == [("run-failed", "failed")]


def test_a_report_that_s3_refuses_for_a_moment_is_written_all_the_same(owned_crew: "Crew", refuse: "Refuse") -> None:
    refused = refuse(owned_crew.cloud.s3, "s3.PutObject", "ConditionalRequestConflict", 409, times=2)
    owned_crew.reporter.report("ended")
    assert refused() == 2
    assert len(owned_crew.reports()) == 1


def test_a_report_that_cannot_be_written_is_told_of_without_its_name(
    owned_crew: "Crew", told: Told, refuse: "Refuse"
) -> None:
    refuse(owned_crew.cloud.s3, "s3.PutObject", "AccessDenied", 403)
    owned_crew.reporter.report("ended")
    assert told.heard[0].facts["reportKey"] is None


def test_what_is_done_while_the_worker_drains_ends_the_shutdown(owned_crew: "Crew") -> None:
    reporter = owned_crew.reporter
    reporter.becomes("draining")
    owned_crew.clock.advance(5)
    reporter.becomes("busy")
    owned_crew.clock.advance(5)
    reporter.becomes("draining")
    owned_crew.clock.advance(3)
    reporter.becomes("draining")
    reporter.report("ended")
    [report] = owned_crew.reports()
    assert report["performance"]["shutdownSeconds"] == 3


# --- dead letters


def letter(number: int) -> ReportError:
    return ReportError(session_id=f"s{number}", chunk="001", reason="audio-empty", detail="no bytes")


def test_the_dead_letters_of_a_run_are_told_of_at_once_and_before_its_end(owned_crew: "Crew", told: Told) -> None:
    for session in ("s1", "s2", "s3"):
        owned_crew.job(session=session, audio=b"")
    owned_crew.run()
    assert told.events() == [("dead-letter", "failed"), ("run-failed", "failed")]
    assert told.heard[0].facts["count"] == 3


def test_dead_letters_that_could_not_be_told_of_come_with_the_next(told: Told) -> None:
    told.refusals = 1
    notices = DeadLetterNotices(told)
    notices.add(letter(1))
    notices.send()
    notices.add(letter(2))
    notices.send()
    notices.send()
    assert [each.facts["count"] for each in told.heard] == [2]
