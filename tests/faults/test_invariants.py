"""Each invariant can fail: a world in which one promise is broken is noticed, by that invariant and with what is wrong.

The one that all tests start from is in order (`tests.faults.world`).
"""

import json
from dataclasses import replace

import pytest

from shared.aws.sqs import QueueDepth
from shared.formats.layout import LOCK_KEY, PENDING_JOBS_KEY, transcript_key
from shared.formats.transcripts import parse_transcript
from shared.reporting.reports import ReportError
from shared.session.transcript import SessionInputs, assemble, plain_text, to_json
from tests.faults.harness.audio import words_of
from tests.faults.harness.evidence import Chunk, Evidence, Exit, Host, Letter
from tests.faults.harness.invariants import INVARIANTS, violations
from tests.faults.harness.outcome import tally
from tests.faults.harness.recorder import Hold
from tests.faults.world import (
    CHUNKS,
    LAST,
    LETTER,
    REPORT,
    SESSION,
    dead,
    entry,
    good,
    having,
    report,
    session_files,
    transcript,
    with_calls,
    without,
)


def test_a_world_in_order_breaks_nothing() -> None:
    assert violations(good()) == []


def test_a_chunk_on_the_dead_letter_queue_with_the_reason_that_was_expected_breaks_nothing() -> None:
    assert violations(dead(good(), LETTER)) == []


def test_a_killed_worker_owes_no_report() -> None:
    evidence = without(good(), f"{REPORT}.json", f"{REPORT}.html")
    assert violations(replace(evidence, exits=(Exit("worker-1", -9),))) == []


def test_a_transcript_that_is_replaced_on_request_may_be_written_twice() -> None:
    forced = tuple(replace(chunk, forced=chunk.chunk == "003") for chunk in CHUNKS)
    evidence = with_calls(replace(good(), chunks=forced), entry("s3:PutObject", LAST, actor="worker-2"))
    assert violations(replace(evidence, exits=(*evidence.exits, Exit("worker-2", -9)))) == []


def test_a_chunk_that_was_put_back_may_be_reported_as_failed_and_as_filled_but_is_written_once() -> None:
    failed = report(("003",), (ReportError(session_id="s1", chunk="003", reason="attempts-exhausted", detail=""),))
    page = LATER.replace(".json", ".html")
    writes = [entry("s3:PutObject", key, actor="worker-2") for key in (LATER, page)]
    evidence = with_calls(having(good(), **{LATER: failed, page: b"<html></html>\n"}), *writes)
    assert violations(evidence)
    redriven = replace(evidence, chunks=tuple(replace(chunk, redriven=chunk.chunk == "003") for chunk in CHUNKS))
    assert violations(redriven) == []
    assert violations(with_calls(redriven, entry("s3:PutObject", LAST, actor="worker-2")))


def test_a_job_whose_publication_was_not_answered_may_be_counted_as_skipped() -> None:
    lost = entry("s3:PutObject", LAST, statuses=(200, 412), status=412, faults=("Twice",))
    journal = tuple(lost if each.call.target == LAST else each for each in good().journal)
    evidence = replace(good(), journal=journal)
    evidence = having(evidence, **{f"{REPORT}.json": report(("002",), chunks_found=2, chunks_skipped=1)})
    assert violations(evidence) == []


def test_the_recorder_may_write_the_lock_and_audio() -> None:
    audio = f"{SESSION}/chunk-002.flac"
    evidence = with_calls(
        good(),
        entry("s3:PutObject", LOCK_KEY, actor="recorder"),
        entry("s3:DeleteObject", LOCK_KEY, actor="recorder"),
        entry("s3:PutObject", audio, actor="recorder"),
    )
    assert violations(evidence) == []


def test_a_worker_that_is_killed_between_a_dead_letter_and_the_end_of_its_job_may_leave_a_second_letter() -> None:
    send = entry("sqs:SendMessage", "scribefleet-dead-letter")
    evidence = with_calls(dead(good(), LETTER, LETTER), send)
    assert violations(evidence)
    assert violations(replace(evidence, exits=(Exit("worker-1", -9),))) == []


def test_a_window_that_was_in_hand_when_the_lock_was_taken_may_begin() -> None:
    begin = entry("model:TranscribeBegin", "1/2,3", began=101.5)
    assert violations(replace(with_calls(good(), begin), holds=(Hold("ada", "live", 100, 120),))) == []


@pytest.mark.parametrize(("faults", "broken"), [((), 0), (("Delay",), 1)])
def test_a_window_may_begin_as_much_later_as_looks_at_the_lock_take_by_themselves(
    faults: tuple[str, ...], broken: int
) -> None:
    begin = entry("model:TranscribeBegin", "1/2,3", began=104.5)
    look = replace(entry("s3:GetObject", LOCK_KEY, began=98.5), ended=100.5, faults=faults)
    evidence = replace(with_calls(good(), look, begin), holds=(Hold("ada", "live", 100, 120),))
    assert len(violations(evidence)) == broken


def test_an_instance_that_was_being_started_when_the_lock_was_taken_may_start() -> None:
    start = entry("ec2:StartInstances", "i-1", actor="autoscaler", began=103)
    assert violations(replace(with_calls(good(), start), holds=(Hold("ada", "live", 100, 120),))) == []


def test_what_others_have_put_into_the_bucket_is_not_the_fleets_to_judge() -> None:
    evidence = replace(having(good(), **{OTHER: b"{", "users/readme": b""}), strays=frozenset({OTHER, "users/readme"}))
    assert violations(evidence) == []


LATER = f"{REPORT}-2.json"
OTHER = f"{SESSION}/transcription-chunk-003.json.tmp"

BROKEN: dict[str, tuple[str, Evidence, str]] = {
    "a lost job": (
        "each chunk is transcribed exactly once",
        dead(good()),
        "s1/003: lost",
    ),
    "a job both done and dead": (
        "each chunk is transcribed exactly once",
        replace(good(), letters=(LETTER,), expected_letters={"audio-empty": 1}),
        "s1/003: both transcribed and on the dead-letter queue (audio-empty)",
    ),
    "a job twice among the dead letters": (
        "each chunk is transcribed exactly once",
        dead(good(), LETTER, LETTER),
        "s1/003: 2 times on the dead-letter queue",
    ),
    "a transcript written by two workers": (
        "each chunk is transcribed exactly once",
        with_calls(good(), entry("s3:PutObject", LAST, actor="worker-2")),
        "s1/003: its transcript was written 2 times",
    ),
    "a transcript written twice by one request": (
        "each chunk is transcribed exactly once",
        replace(good(), journal=(*good().journal, entry("s3:PutObject", LAST, statuses=(200,), status=0))),
        "s1/003: its transcript was written 2 times",
    ),
    "a live transcript written over": (
        "each chunk is transcribed exactly once",
        with_calls(good(), entry("s3:PutObject", transcript_key(SESSION, "001"))),
        "s1/001: the recorder's transcript was written over",
    ),
    "a live transcript that is gone": (
        "each chunk is transcribed exactly once",
        without(good(), transcript_key(SESSION, "001")),
        "s1/001: the recorder's transcript was lost",
    ),
    "a transcript from nowhere": (
        "each chunk is transcribed exactly once",
        replace(good(), journal=tuple(each for each in good().journal if each.call.target != LAST)),
        "s1/003: has a transcript that nobody in the fleet wrote",
    ),
    "the words of another chunk": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(3, words_of(1, 2))}),
        "s1/003: says s1c2w0",
    ),
    "a word that is missing": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(3, words_of(1, 3)[:-1])}),
        "s1/003: says",
    ),
    "silence where somebody spoke": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(3, ())}),
        "s1/003: says nothing instead of s1c3w0",
    ),
    "words at the wrong times": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(3, shift=0.3)}),
        "s1/003: its words are not where they were said",
    ),
    "another chunk's transcript under the key": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(2, words_of(1, 3))}),
        "s1/003: names another chunk",
    ),
    "half a transcript": (
        "each transcript is the right one",
        having(good(), **{LAST: transcript(3)[:100]}),
        "s1/003: its transcript is not valid",
    ),
    "no session transcript": (
        "each session's transcript is right",
        without(good(), *session_files({"001": transcript(1)})),
        "s1: has no transcript, and no gap is left",
    ),
    "a session transcript from before the last gap was filled": (
        "each session's transcript is right",
        having(good(), **session_files({"001": transcript(1), "002": transcript(2)})),
        "s1: is partial with 0 chunks missing",
    ),
    "a session transcript that is complete with a dead letter": (
        "each session's transcript is right",
        replace(dead(good(), LETTER), objects=without(good(), LAST).objects),
        "s1: is completed with 1 chunks missing",
    ),
    "a text file that says something else": (
        "each session's transcript is right",
        having(good(), **{f"{SESSION}/transcription.txt": b"something else\n"}),
        "s1: transcription.txt says something else",
    ),
    "a session without subtitles": (
        "each session's transcript is right",
        without(good(), f"{SESSION}/transcription.srt"),
        "s1: transcription.srt missing",
    ),
    "a message that is still in flight": (
        "no message is stuck",
        replace(good(), depths={"jobs": QueueDepth(in_flight=1)}),
        "jobs: 0 visible, 1 in flight, 0 delayed",
    ),
    "a dead letter without a reason": (
        "dead letters are expected",
        replace(dead(good(), replace(LETTER, reason="")), expected_letters={"audio-empty": 1}),
        "1 dead letters with the reason none, 0 expected",
    ),
    "a dead letter that should be there": (
        "dead letters are expected",
        replace(good(), expected_letters={"audio-empty": 1}),
        "0 dead letters with the reason audio-empty, 1 expected",
    ),
    "a temporary file": (
        "objects are whole",
        having(good(), **{OTHER: b"{}"}),
        f"{OTHER}: not a kind of object",
    ),
    "an object of others that is gone": (
        "objects are whole",
        replace(good(), strays=frozenset({"users/readme"})),
        "users/readme: is gone",
    ),
    "half a list of pending jobs": (
        "objects are whole",
        having(good(), **{PENDING_JOBS_KEY: b'{"sessions": ['}),
        f"{PENDING_JOBS_KEY}: not whole, it does not parse",
    ),
    "half a page": (
        "objects are whole",
        having(good(), **{f"{REPORT}.html": b"<html><body>"}),
        f"{REPORT}.html: not whole, it has no end",
    ),
    "a report without its page": (
        "objects are whole",
        without(good(), f"{REPORT}.html"),
        f"{REPORT}: has one of JSON and page only",
    ),
    "a worker that releases the lock": (
        "only recorders touch recordings and lock",
        with_calls(good(), entry("s3:DeleteObject", LOCK_KEY, statuses=(204,))),
        "worker-1 changed the lock (s3:DeleteObject)",
    ),
    "a worker that writes over audio": (
        "only recorders touch recordings and lock",
        with_calls(good(), entry("s3:PutObject", f"{SESSION}/chunk-002.flac")),
        f"worker-1 wrote over {SESSION}/chunk-002.flac",
    ),
    "a worker that deletes": (
        "only recorders touch recordings and lock",
        with_calls(good(), entry("s3:DeleteObject", LAST, statuses=(204,))),
        f"worker-1 deleted or copied {LAST}",
    ),
    "a process that stays": (
        "nothing runs on",
        replace(good(), left_alive=("worker-1",)),
        "worker-1 did not end",
    ),
    "an instance that runs for nothing": (
        "nothing runs on",
        replace(good(), hosts=(Host("i-1", "running", owned=True, idle_seconds=30, bound_seconds=10),)),
        "i-1 is running after 30 s without work",
    ),
    "a window that begins during a hold": (
        "holds are respected",
        replace(
            with_calls(good(), entry("model:TranscribeBegin", "1/2", began=105)), holds=(Hold("ada", "live", 100),)
        ),
        "worker-1 began to transcribe 5.0 s into a hold",
    ),
    "an instance that is stopped during a hold": (
        "holds are respected",
        replace(with_calls(good(), entry("ec2:StopInstances", "i-1", began=107)), holds=(Hold("ada", "live", 100),)),
        "worker-1 made StopInstances 7.0 s into a hold",
    ),
    "a report that does not add up": (
        "reports agree",
        having(good(), **{f"{REPORT}.json": report(chunks_found=3)}),
        "found is not transcribed + failed + skipped",
    ),
    "a report of work that nobody can find": (
        "reports agree",
        having(good(), **{f"{REPORT}.json": report(("002", "003", "004"))}),
        "counts s1/004, which is neither transcribed nor a dead letter",
    ),
    "a report that counts more than was published": (
        "reports agree",
        replace(good(), journal=tuple(each for each in good().journal if each.call.target != LAST)),
        "worker-1 reports 2 transcribed and has published 1",
    ),
    "a report that leaves work out": (
        "reports agree",
        having(good(), **{f"{REPORT}.json": report(("002",))}),
        "worker-1 has published 2 and reports 1: 1 untold",
    ),
    "a job in two reports": (
        "reports agree",
        with_calls(having(good(), **{LATER: report(("003",))}), entry("s3:PutObject", LATER, actor="worker-2")),
        "s1/003: counted as worked on 2 times",
    ),
    "a failure that the report does not explain": (
        "reports agree",
        having(dead(good(), LETTER), **{f"{REPORT}.json": report(chunks_transcribed=1, chunks_failed=1)}),
        "has 0 errors for 1 failed chunks",
    ),
    "a print in the log": (
        "logs are events",
        replace(good(), logs={"worker-1": '{"event": "ready"}\nhello\n'}),
        "worker-1 wrote a line that is no event: 'hello'",
    ),
    "a traceback that is no error": (
        "logs are events",
        replace(
            good(),
            logs={
                "worker-1": json.dumps(
                    {"event": "odd", "level": "warning", "exception": "Traceback (most recent call last):\n…"}
                )
            },
        ),
        "worker-1 logged a traceback as warning: odd",
    ),
}


def test_a_line_that_a_full_disk_cut_off_is_nobodys_print() -> None:
    assert violations(replace(good(), logs={"worker-1": '{"event": "ready"}\n{"event": "chu'})) == []


def test_a_chunk_that_was_deleted_before_its_work_is_none_of_its_sessions_any_more() -> None:
    # given: the session's transcript was made of the other two chunks, which is all that is there
    letter = Letter(SESSION, "003", "audio-gone")
    speech = {chunk: parse_transcript(chunk, transcript(int(chunk))) for chunk in ("001", "002")}
    made = assemble(SessionInputs("s1", "ada", frozenset({"001", "002"}), speech), 5)
    text = "".join(plain_text(made)).encode()
    bodies = {f"{SESSION}/transcription.json": to_json(made), f"{SESSION}/transcription.txt": text}
    audio = f"{SESSION}/chunk-003.flac"
    world = without(having(dead(good(), letter), **bodies), audio)
    about = "each session's transcript is right"
    # then: that is right, and would be wrong if the audio were there
    assert not any(about in each for each in violations(world))
    assert any(about in each for each in violations(having(world, **{audio: b""})))


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_noticed_by_its_invariant(case: str) -> None:
    invariant, evidence, said = BROKEN[case]
    assert any(f"{invariant}: {said}" in each or (invariant in each and said in each) for each in violations(evidence))


def test_every_invariant_is_shown_to_be_able_to_fail() -> None:
    assert {invariant for invariant, _, _ in BROKEN.values()} == set(INVARIANTS)


def test_a_world_on_fire_is_described_in_a_few_lines_for_each_invariant() -> None:
    chunks = tuple(Chunk(SESSION, f"{n:03d}", words_of(1, n)) for n in range(1, 101))
    found = [each for each in violations(Evidence(chunks=chunks, objects={})) if "exactly once" in each]
    assert len(found) == 6
    assert found[-1].endswith("and 95 more")


def test_jobs_are_counted_as_lost_duplicated_or_dead_lettered() -> None:
    assert (tally(good()).jobs, tally(good()).lost, tally(good()).duplicated) == (2, 0, 0)
    assert tally(dead(good())).lost == 1
    assert tally(with_calls(good(), entry("s3:PutObject", LAST))).duplicated == 1
    lettered = tally(dead(good(), LETTER))
    assert (lettered.lost, lettered.dead_lettered) == (0, {"audio-empty": 1})
