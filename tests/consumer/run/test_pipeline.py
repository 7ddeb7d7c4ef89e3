"""The stages together: windows over several jobs, work ahead and behind, and every message ending exactly once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consumer.media.decode import SAMPLE_RATE
from consumer.model.transcriber import Speech, TranscriberBrokenError, Transcription, WindowFailedError
from consumer.run.loop import WorkerBrokenError
from shared.errors import ConfigurationError
from shared.formats.layout import session_path
from shared.formats.transcripts import Suppressed

if TYPE_CHECKING:
    from shared.formats.messages import ChunkJob
    from tests.consumer.conftest import Crew, MakeCrew, ScriptedTranscriber

SAMPLES = Path(__file__).parents[3] / "samples/two_cities"
PATIENCE_SECONDS = 20  # of a test for another thread; only ever used up when the test fails


def chunk(number: int, recorder: str = "restart") -> bytes:
    return (SAMPLES / recorder / f"chunk-{number:03d}.webm").read_bytes()


def queue(
    crew: "Crew", gaps: Sequence[int], *, beside: Sequence[int] = (), recorder: str = "restart"
) -> "list[ChunkJob]":
    """A session's gaps as jobs; chunks `beside` them are there without one."""
    for number in beside:
        crew.cloud.put_audio("alice", "s1", f"{number:03d}", body=chunk(number, recorder))
    return [crew.job(f"{number:03d}", audio=chunk(number, recorder)) for number in gaps]


def seconds(speech: Speech) -> float:
    return round(len(speech.samples) / SAMPLE_RATE, 1)


# --- windows over jobs


def test_neighbouring_gaps_are_heard_in_one_window_and_each_gets_its_own_words(crew: "MakeCrew") -> None:
    one = crew()
    jobs = queue(one, [2, 3, 4])
    one.work()
    assert [seconds(speech) for speech in one.transcriber.windows] == [14.9]
    transcripts = [one.transcript(job) for job in jobs]
    assert [t["duration"] for t in transcripts] == [4.98] * 3
    # two words a second of a window that began with the first chunk
    assert [t["wordCount"] for t in transcripts] == [10, 10, 10]
    assert all(0 <= w["start"] <= w["end"] <= 4.98 for t in transcripts for s in t["segments"] for w in s["words"])
    assert one.waiting() == (0, 0)


def test_a_single_gap_is_heard_with_ten_seconds_on_both_sides(crew: "MakeCrew") -> None:
    one = crew()
    [job] = queue(one, [5], beside=[1, 2, 3, 4, 6, 7, 8])
    before = one.cloud.put_transcript("alice", "s1", "004", {"segments": [], "source": "live"})
    one.work()
    assert [seconds(speech) for speech in one.transcriber.windows] == [24.9]
    assert one.transcript(job)["wordCount"] == 10
    listed = one.cloud.s3.list_objects_v2(Bucket=job.bucket, Prefix=f"{job.session_path}/transcription")["Contents"]
    assert [item["Key"] for item in listed] == [before, job.transcript_key]


def test_gaps_of_a_long_run_share_windows_of_up_to_thirty_seconds(crew: "MakeCrew") -> None:
    one = crew()
    jobs = queue(one, range(1, 10))
    one.work()
    assert [one.ledger_status(job) for job in jobs] == ["completed"] * 9
    assert len(one.transcriber.windows) == 2
    assert all(seconds(speech) <= 30 for speech in one.transcriber.windows)


def test_the_worker_lists_nothing_however_long_the_session_is(crew: "MakeCrew") -> None:
    one = crew()
    queue(one, [5], beside=[4, 6])
    listed: list[str] = []
    for operation in ("ListObjectsV2", "ListObjects"):
        one.cloud.s3.meta.events.register(f"before-call.s3.{operation}", lambda **_: listed.append("LIST"))
    one.work()
    assert listed == []


@pytest.mark.parametrize("neighbour", [b"", b"<html>502</html>", chunk(4)[:200]])
def test_a_neighbour_that_cannot_be_decoded_only_shortens_the_context(crew: "MakeCrew", neighbour: bytes) -> None:
    one = crew()
    [job] = queue(one, [5], beside=[3, 6, 7])
    one.cloud.put_audio("alice", "s1", "004", body=neighbour)
    one.work()
    assert [seconds(speech) for speech in one.transcriber.windows] == [14.9]  # it never reaches across to chunk 3
    assert one.transcript(job)["wordCount"] == 10


def test_a_neighbour_that_is_deleted_meanwhile_only_shortens_the_context(crew: "MakeCrew") -> None:
    one = crew()
    [job] = queue(one, [5], beside=[4, 6])
    key = f"{session_path('alice', 's1')}/chunk-004.webm"

    def delete(params: dict[str, Any], **_: Any) -> None:
        if params["url_path"].endswith("chunk-005.webm"):
            one.cloud.s3.delete_object(Bucket=one.settings.bucket, Key=key)

    one.cloud.s3.meta.events.register("before-call.s3.GetObject", delete)
    one.work()
    assert [seconds(speech) for speech in one.transcriber.windows] == [10.0]
    assert one.ledger_status(job) == "completed"


def test_a_broken_gap_between_two_others_is_dead_lettered_and_those_are_filled(crew: "MakeCrew") -> None:
    one = crew()
    first, last = queue(one, [2, 4])
    broken = one.job("003", audio=b"<html>502</html>")
    one.work()
    assert one.dead_letters() == [("audio-not-audio", broken.to_json())]
    assert [one.ledger_status(job) for job in (first, last)] == ["completed"] * 2
    assert [seconds(speech) for speech in one.transcriber.windows] == [5.0, 5.0]


def test_the_next_poll_waits_unless_the_last_one_brought_messages(crew: "MakeCrew") -> None:
    one = crew()
    queue(one, [2])
    with one.pipeline.running():
        at_first = one.pipeline.intake()
        one.pipeline.accept(one.pipeline.receive(10, wait=False))
        after_messages = one.pipeline.intake()
        one.pipeline.accept([])
        after_none = one.pipeline.intake()
    assert [each.long_poll for each in (at_first, after_messages, after_none)] == [True, False, True]
    assert at_first.idle


# --- what the recorder did to the audio


def test_a_timeslice_session_is_filled_chunk_by_chunk_number(crew: "MakeCrew") -> None:
    one = crew()
    jobs = queue(one, range(1, 10), recorder="timeslice")
    one.work()
    transcripts = [one.transcript(job) for job in jobs]
    assert one.dead_letters() == []
    assert all(t["duration"] == pytest.approx(5, abs=0.12) for t in transcripts)
    assert not any("partialAudio" in t or "headerSynthesised" in t for t in transcripts)


def test_a_slice_whose_session_lost_its_first_chunk_is_filled_and_flagged(crew: "MakeCrew") -> None:
    one = crew()
    [job] = queue(one, [5], beside=[4, 6], recorder="timeslice")
    one.work()
    assert one.transcript(job)["headerSynthesised"] is True
    assert one.transcript(job)["duration"] == pytest.approx(5, abs=0.12)


def test_a_chunk_that_lost_a_third_is_transcribed_and_flagged_with_both_numbers(crew: "MakeCrew") -> None:
    one = crew()
    whole = chunk(3)
    job = one.job("003", audio=whole[: len(whole) * 2 // 3])
    one.work()
    partial = one.transcript(job)["partialAudio"]
    assert partial["decodedSeconds"] == one.transcript(job)["duration"]
    assert 2.5 < partial["decodedSeconds"] < 4 < partial["expectedSeconds"] < 5.1


# --- what the model says


def test_what_was_suppressed_is_kept_with_its_numbers(crew: "MakeCrew") -> None:
    one = crew()
    [job] = queue(one, [2])
    noise = Suppressed(
        text="Thank you.", start=1, end=2, reason="no-speech", no_speech_probability=0.9, average_log_probability=-1.5,
        compression_ratio=0.7,
    )  # fmt: skip
    hears(one.transcriber, lambda _: Transcription("en", 1.0, (), (noise,)))
    one.work()
    transcript = one.transcript(job)
    assert (transcript["text"], transcript["segments"]) == ("", [])
    assert transcript["suppressed"] == [
        {
            "text": "Thank you.",
            "start": 1.0,
            "end": 2.0,
            "reason": "no-speech",
            "noSpeechProbability": 0.9,
            "averageLogProbability": -1.5,
            "compressionRatio": 0.7,
        }
    ]


def test_the_sessions_metadata_gives_hints(crew: "MakeCrew") -> None:
    one = crew()
    queue(one, [2])
    body = b'{"hotwords": ["Tellson", "Jarvis Lorry"], "initialPrompt": "A tale.", "title": "x"}'
    key = f"{session_path('alice', 's1')}/metadata.json"
    one.cloud.s3.put_object(Bucket=one.settings.bucket, Key=key, Body=body)
    one.work()
    [speech] = one.transcriber.windows
    assert (speech.hotwords, speech.initial_prompt) == ("Tellson, Jarvis Lorry", "A tale.")


def test_a_job_can_ask_for_a_model_and_a_language_of_its_own(crew: "MakeCrew") -> None:
    one = crew()
    german = type(one.transcriber)(model_name="large", languages=frozenset({"en", "de"}))
    one.load = lambda _: german
    queue(one, [1])
    other = one.job("002", audio=chunk(2), model="large", language="de")
    one.work()
    assert [speech.language for speech in german.windows] == ["de"]
    assert one.transcript(other)["model"] == "large"
    assert one.transcriber.calls == 1


def test_a_model_that_is_not_here_is_that_jobs_error_alone(crew: "MakeCrew") -> None:
    one = crew()

    def absent(_: object) -> "ScriptedTranscriber":
        raise ConfigurationError("no such model here")

    one.load = absent
    [good] = queue(one, [1])
    one.job("002", audio=chunk(2), model="huge")
    one.job("003", audio=chunk(3), language="de")
    one.work()
    assert sorted(reason for reason, _ in one.dead_letters()) == ["language-unsupported", "model-unavailable"]
    assert one.ledger_status(good) == "completed"


def test_windows_are_decoded_together_where_the_setting_says_so(crew: "MakeCrew") -> None:
    one = crew(batch_windows=4)
    jobs = [one.job(session=f"s{n}") for n in range(7)]
    one.transcriber.during = lambda: waited.append(len(waited) > 0 or until(lambda: windows_ready(one) == 4))
    waited: list[bool] = []
    one.work()
    assert one.transcriber.together[:2] == [1, 4]
    assert {one.ledger_status(job) for job in jobs} == {"completed"}


# --- failures of the model


def test_of_a_window_that_fails_each_job_is_tried_alone(crew: "MakeCrew") -> None:
    # given: a model that fails on everything that holds chunk 3
    one = crew(retry_backoff_seconds=60)
    jobs = queue(one, [2, 3, 4])
    poison = one.audio.of(jobs[1]).samples

    def fail_on_poison(speech: Speech) -> Transcription | None:
        if any((speech.samples[at : at + 1000] == poison[:1000]).all() for at in range(0, len(speech.samples), 79680)):
            raise WindowFailedError("cannot hear this")
        return None

    hears(one.transcriber, fail_on_poison)
    one.work()
    assert [one.ledger_status(job) for job in jobs] == ["completed", "queued", "completed"]
    assert one.waiting() == (0, 1)  # the poisoned one, for a minute


def test_a_broken_model_ends_the_process_and_gives_everything_back(crew: "MakeCrew") -> None:
    one = crew(until_empty=False)
    jobs = [one.job(session=f"s{n}") for n in range(5)]

    def break_down(_: Speech) -> Transcription:
        raise TranscriberBrokenError("CUDA error")

    hears(one.transcriber, break_down)
    with pytest.raises(WorkerBrokenError):
        one.run()
    assert one.waiting() == (5, 0)
    assert one.transcriber.calls == 1
    assert {one.ledger_status(job) for job in jobs} == {"queued"}


def test_a_job_that_breaks_the_model_alone_is_not_given_back_for_ever(crew: "MakeCrew") -> None:
    one = crew(until_empty=False, max_receives=1)
    jobs = [one.job(session=f"s{n}") for n in range(2)]  # either may come first

    def break_down(_: Speech) -> Transcription:
        raise TranscriberBrokenError("out of memory also at lower cost")

    hears(one.transcriber, break_down)
    with pytest.raises(WorkerBrokenError):
        one.run()
    assert [reason for reason, _ in one.dead_letters()] == ["attempts-exhausted"]
    assert {one.ledger_status(job) for job in jobs} == {"failed", "queued"}
    assert one.waiting() == (1, 0)


def test_jobs_that_the_model_had_together_when_it_broke_all_go_back(crew: "MakeCrew") -> None:
    one = crew(until_empty=False, max_receives=1)
    jobs = queue(one, [2, 3])

    def break_down(_: Speech) -> Transcription:
        raise TranscriberBrokenError("out of memory also at lower cost")

    hears(one.transcriber, break_down)
    with pytest.raises(WorkerBrokenError):
        one.run()
    assert one.waiting() == (len(jobs), 0)


def test_a_second_request_to_stop_gives_the_window_in_hand_back(crew: "MakeCrew") -> None:
    one = crew(drain_seconds=0)
    [job] = queue(one, [2])
    one.transcriber.during = one.stop.request
    one.work()
    assert one.waiting() == (1, 0)
    assert one.ledger_status(job) == "queued"


# --- ahead and behind


def test_the_next_audio_is_fetched_while_the_model_works(crew: "MakeCrew") -> None:
    one = crew()
    jobs = [one.job(session=f"s{n}") for n in range(3)]
    fetched: list[str] = []
    one.cloud.s3.meta.events.register(
        "after-call.s3.GetObject", lambda http_response, **_: fetched.append(http_response.url)
    )
    seen: list[bool] = []

    def look() -> None:
        seen.append(until(lambda: sum("chunk-001.webm" in url for url in fetched) == len(jobs)))

    one.transcriber.during = look
    one.work()
    assert seen[0]


def test_the_model_goes_on_while_a_transcript_is_being_published(crew: "MakeCrew") -> None:
    one = crew()
    jobs = [one.job(session=f"s{n}") for n in range(3)]
    all_heard = threading.Event()
    waited: list[bool] = []
    one.cloud.s3.meta.events.register(
        "before-call.s3.PutObject", lambda **_: waited.append(all_heard.wait(PATIENCE_SECONDS))
    )

    def count() -> None:
        if one.transcriber.calls == len(jobs):
            all_heard.set()

    one.transcriber.during = count
    one.work()
    assert waited == [True, True, True]
    assert {one.ledger_status(job) for job in jobs} == {"completed"}


def test_never_more_jobs_are_in_hand_than_the_setting_allows(crew: "MakeCrew") -> None:
    one = crew(max_jobs_in_hand=4)
    jobs = [one.job(session=f"s{n}") for n in range(20)]
    in_hand: list[int] = []
    one.transcriber.during = lambda: in_hand.append(one.waiting()[1])
    one.run()
    assert {one.ledger_status(job) for job in jobs} == {"completed"}
    assert max(in_hand) <= 4


def test_a_message_that_is_delivered_twice_is_heard_once(crew: "MakeCrew") -> None:
    one = crew()
    job = one.job()
    one.send(job.to_json())
    one.run()
    assert one.transcriber.calls == 1
    assert one.waiting() == (0, 0)


def test_a_defect_in_a_stage_ends_the_process_and_not_the_work_alone(
    crew: "MakeCrew", monkeypatch: pytest.MonkeyPatch
) -> None:
    one = crew(until_empty=False)
    one.job()

    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("consumer.run.pipeline.split_by_chunk", defect)
    with pytest.raises(WorkerBrokenError):
        one.run()


# --- helpers


def hears(transcriber: "ScriptedTranscriber", what: Callable[[Speech], Transcription | None]) -> None:
    """Let the transcriber hear what a test says, or what it always hears for `None`."""
    usual = transcriber.heard
    transcriber.heard = lambda speech: what(speech) or usual(speech)


def windows_ready(crew: "Crew") -> int:
    return len(crew.pipeline._ready)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for other threads, without a fixed time."""
    end = threading.Event()
    for _ in range(PATIENCE_SECONDS * 100):
        if condition():
            return True
        end.wait(0.01)
    return False
