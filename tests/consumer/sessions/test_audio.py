"""The audio of sessions: fetched once, kept within bounds, and never judged by what was stored before."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ClientError

from consumer.media.decode import decode
from consumer.sessions.audio import SessionAudio
from shared.aws.retrying import Retrier
from shared.errors import PermanentJobError
from shared.formats.messages import ChunkJob, chunk_job

if TYPE_CHECKING:
    from consumer.media.decode import DecodedAudio
    from tests.conftest import Cloud, FakeClock

SAMPLES = Path(__file__).parents[3] / "samples/two_cities"
GARBAGE = b"<html>502 Bad Gateway</html>"
RESTART_SECONDS = 4.98
# The recorder's first slice lasts as long as a file of its own; the others end where they should, the last one when
# the recording does.
SLICE_SECONDS = {1: 4.98, **dict.fromkeys(range(2, 10), 5.04), 10: 0.66}
TWO_PACKETS = 0.121
MEGABYTE = 1024 * 1024


def chunk(number: int, kind: str = "restart") -> bytes:
    return (SAMPLES / kind / f"chunk-{number:03d}.webm").read_bytes()


class Session:
    """One session in the test cloud; counts how often each of its chunks was asked for."""

    def __init__(self, cloud: "Cloud", clock: "FakeClock", ext: str = "webm") -> None:
        self._cloud = cloud
        self._clock = clock
        self._ext = ext
        self._refusals: dict[str, tuple[int, str]] = {}
        self.fetches: Counter[int] = Counter()
        events: Any = cloud.s3.meta.events
        events.register("before-call.s3.GetObject", self._on_get)

    def audio(self, **settings: Any) -> SessionAudio:
        changed = self._cloud.settings_with(**settings)
        return SessionAudio(self._cloud.s3, changed, Retrier(changed.retry_attempts, self._clock))

    def put(self, number: int, body: bytes) -> ChunkJob:
        """Store a chunk; returns the job for it as it is now."""
        key = self._cloud.put_audio("u", "s", f"{number:03d}", self._ext, body)
        bucket = self._cloud.settings.bucket
        return chunk_job(bucket=bucket, audio_key=key, audio_size=len(body), enqueued_at=self._clock.now())

    def fill(self, numbers: Iterable[int], kind: str = "restart") -> dict[int, ChunkJob]:
        return {number: self.put(number, chunk(number, kind)) for number in numbers}

    def delete(self, job: ChunkJob) -> None:
        self._cloud.s3.delete_object(Bucket=job.bucket, Key=job.audio_key)

    def refuse(self, job: ChunkJob, status: int, code: str) -> None:
        self._refusals[job.audio_key] = (status, code)

    def allow(self, job: ChunkJob) -> None:
        del self._refusals[job.audio_key]

    def _on_get(self, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        key = params["url_path"].removeprefix(f"/{self._cloud.settings.bucket}/").removeprefix("/")
        self.fetches[int(key.rpartition("-")[2].partition(".")[0])] += 1
        if key not in self._refusals:
            return None
        status, code = self._refusals[key]
        answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return AWSResponse("", status, HTTPHeaders(), b""), answer


@pytest.fixture
def session(cloud: "Cloud", clock: "FakeClock") -> Session:
    return Session(cloud, clock)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def seconds(found: "dict[int, DecodedAudio]") -> dict[int, float]:
    return {number: round(audio.seconds, 2) for number, audio in found.items()}


def reason_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(PermanentJobError) as refused:
        attempt()
    return refused.value.reason


def push_bytes_out(session: Session, audio: SessionAudio, executor: Executor) -> None:
    """Fill the half of a megabyte in which bytes are kept with others that are no audio; the samples kept stay."""
    intruder = session.put(50, GARBAGE.ljust(520_000))
    assert audio.beside(intruder, {50}, executor) == {}


# --- fetched once


def test_a_chunk_is_fetched_once_for_its_own_job_and_for_all_the_gaps_beside_it(
    session: Session, executor: Executor
) -> None:
    jobs, audio = session.fill(range(1, 6)), session.audio()
    for number, job in jobs.items():
        around = {number - 2, number - 1, number + 1, number + 2} & jobs.keys()
        assert seconds(audio.beside(job, around, executor)) == dict.fromkeys(around, RESTART_SECONDS)
        assert round(audio.of(job).seconds, 2) == RESTART_SECONDS
    assert session.fetches == dict.fromkeys(jobs, 1)


def test_threads_that_want_one_chunk_at_the_same_time_fetch_it_once_and_hear_the_same(
    session: Session, executor: Executor
) -> None:
    jobs, audio = session.fill([1, 2, 3], "timeslice"), session.audio()
    together = Barrier(8)

    def ask(_: int) -> "DecodedAudio":
        together.wait(timeout=10)
        return audio.of(jobs[2])

    first, *others = executor.map(ask, range(8))
    assert round(first.seconds, 2) == SLICE_SECONDS[2]
    assert all(other.samples is first.samples for other in others)
    assert session.fetches == {1: 1, 2: 1, 3: 1}


def test_nothing_is_asked_for_in_front_of_a_session(session: Session, executor: Executor) -> None:
    jobs = session.fill([1, 2])
    session.audio().beside(jobs[1], {-2, -1, 0, 2}, executor)
    assert session.fetches == {0: 1, 2: 1}


# --- bounded


def kept_bytes(session: Session, cache_mb: int, job: ChunkJob, numbers: Iterable[int], executor: Executor) -> int:
    """How much memory stays taken after the chunks `numbers` were asked for."""
    audio = session.audio(audio_cache_mb=cache_mb)
    audio.beside(job, {0}, executor)  # what boto3 makes at its first call is not the cache's
    tracemalloc.start()
    try:
        for number in numbers:
            assert seconds(audio.beside(job, {number}, executor)) == {number: RESTART_SECONDS}
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_what_is_kept_stays_within_its_bound_and_everything_is_still_right(
    session: Session, executor: Executor
) -> None:
    many = range(1, 10)
    job = session.fill(many)[1]
    assert kept_bytes(session, 1, job, many, executor) < MEGABYTE
    # With room for them all they are all kept: the measure sees them.
    assert kept_bytes(session, 64, job, many, executor) > 3 * MEGABYTE


def test_a_chunk_that_is_longer_than_all_that_may_be_kept_is_decoded_all_the_same(
    session: Session, executor: Executor
) -> None:
    stream = b"".join(chunk(number, "timeslice") for number in range(1, 11))
    job = session.put(1, stream)
    audio = session.audio(audio_cache_mb=1)
    assert audio.of(job).seconds == pytest.approx(45.96, abs=0.1)
    assert audio.of(job).seconds == pytest.approx(45.96, abs=0.1)


# --- stored again, or gone


def test_a_chunk_that_was_stored_again_with_another_size_is_fetched_anew(session: Session, executor: Executor) -> None:
    beside, audio = session.put(4, chunk(4)), session.audio()
    session.put(5, chunk(10))
    assert seconds(audio.beside(beside, {5}, executor)) == {5: 0.96}
    again = session.put(5, chunk(5))
    assert round(audio.of(again).seconds, 2) == RESTART_SECONDS
    # From now on its neighbours hear it so too.
    assert seconds(audio.beside(beside, {5}, executor)) == {5: RESTART_SECONDS}
    assert session.fetches == {5: 2}


def test_a_chunk_that_was_stored_again_is_fetched_anew_when_only_its_samples_are_still_kept(
    session: Session, executor: Executor
) -> None:
    beside, audio = session.put(4, chunk(4)), session.audio(audio_cache_mb=1)
    session.put(5, chunk(10))
    audio.beside(beside, {5}, executor)
    push_bytes_out(session, audio, executor)
    again = session.put(5, chunk(5))
    assert round(audio.of(again).seconds, 2) == RESTART_SECONDS


def test_a_job_that_is_older_than_its_chunk_gets_the_chunk_as_it_is(session: Session) -> None:
    old = session.put(5, chunk(10))
    session.put(5, chunk(5))
    assert round(session.audio().of(old).seconds, 2) == RESTART_SECONDS
    assert session.fetches == {5: 1}


def test_a_chunk_that_could_not_be_decoded_is_fetched_anew_though_it_has_the_same_size(session: Session) -> None:
    good = chunk(5)
    job = session.put(5, GARBAGE.ljust(len(good)))
    audio = session.audio()
    assert reason_of(lambda: audio.of(job)) == "audio-not-audio"
    session.put(5, good)
    assert round(audio.of(job).seconds, 2) == RESTART_SECONDS


def test_a_chunk_is_not_judged_by_what_its_neighbour_saw_before_it_was_stored_again(session: Session) -> None:
    jobs = session.fill([1, 2, 3], "timeslice")
    for before in (b"", GARBAGE, chunk(4, "timeslice")[:3000]):
        audio = session.audio()
        session.put(4, before)
        audio.of(jobs[3])  # looks at the chunk behind
        again = session.put(4, chunk(4, "timeslice"))
        assert round(audio.of(again).seconds, 2) == SLICE_SECONDS[4]


def test_a_chunk_that_was_deleted_after_it_was_queued_is_gone_until_it_is_stored_again(session: Session) -> None:
    job, audio = session.put(5, chunk(5)), session.audio()
    session.delete(job)
    assert reason_of(lambda: audio.of(job)) == "audio-gone"
    session.put(5, chunk(5))
    assert round(audio.of(job).seconds, 2) == RESTART_SECONDS


def test_a_chunk_that_s3_refuses_is_no_damage_but_the_job_s_to_retry(session: Session) -> None:
    job, audio = session.put(5, chunk(5)), session.audio(retry_attempts=2)
    session.refuse(job, 503, "SlowDown")
    with pytest.raises(ClientError, match="SlowDown"):
        audio.of(job)
    assert session.fetches == {5: 2}
    session.allow(job)
    assert round(audio.of(job).seconds, 2) == RESTART_SECONDS


# --- context


def test_neighbours_that_cannot_be_used_are_absent_and_are_asked_for_again_later(
    session: Session, executor: Executor
) -> None:
    jobs, audio = session.fill(range(1, 8)), session.audio(retry_attempts=2)
    session.delete(jobs[1])
    session.put(2, b"")
    session.put(3, GARBAGE)
    session.put(4, chunk(4)[:300])  # not even its header
    session.refuse(jobs[6], 403, "AccessDenied")
    session.refuse(jobs[7], 500, "InternalError")
    assert audio.beside(jobs[5], {1, 2, 3, 4, 6, 7, 8}, executor) == {}
    session.allow(jobs[6])
    session.allow(jobs[7])
    session.fill(range(1, 8))
    around = {1, 2, 3, 4, 6, 7}
    assert seconds(audio.beside(jobs[5], around, executor)) == dict.fromkeys(around, RESTART_SECONDS)


def test_a_neighbour_is_found_whatever_its_padding_can_be(
    session: Session, cloud: "Cloud", clock: "FakeClock", executor: Executor
) -> None:
    keys = [cloud.put_audio("u", "s", spelling, body=chunk(1)) for spelling in ("9", "10", "999", "1000")]
    ten, thousand = (
        chunk_job(bucket=cloud.settings.bucket, audio_key=key, audio_size=len(chunk(1)), enqueued_at=clock.now())
        for key in (keys[1], keys[3])
    )
    audio = session.audio()
    assert seconds(audio.beside(ten, {9, 11}, executor)) == {9: RESTART_SECONDS}
    assert seconds(audio.beside(thousand, {999, 1001}, executor)) == {999: RESTART_SECONDS}


# --- slices of one stream


def test_every_slice_is_decoded_whole_with_its_neighbours_there(session: Session) -> None:
    jobs, audio = session.fill(range(1, 11), "timeslice"), session.audio()
    heard = {number: audio.of(job) for number, job in jobs.items()}
    assert seconds(heard) == SLICE_SECONDS
    assert not any(each.partial or each.header_synthesised for each in heard.values())
    # One after the other they say what the whole stream says.
    stream = decode(b"".join(chunk(number, "timeslice") for number in range(1, 11)), chunk_seconds=5).samples
    slices = np.concatenate([each.samples for each in heard.values()])
    assert len(slices) == len(stream)
    assert np.corrcoef(slices, stream)[0, 1] > 0.99


def test_slices_that_are_cut_within_a_packet_lose_none_of_it(session: Session) -> None:
    stream = b"".join(chunk(number, "timeslice") for number in range(1, 11))
    cuts = [*range(0, len(stream), 80_217), len(stream)]
    jobs = [session.put(number, stream[begin:end]) for number, (begin, end) in enumerate(pairwise(cuts), start=1)]
    audio = session.audio()
    heard = [audio.of(job) for job in jobs]
    assert sum(each.seconds for each in heard) == pytest.approx(45.96)
    assert [each.partial for each in heard] == [None] * len(heard)


def test_a_slice_is_decoded_when_the_chunk_before_or_behind_is_missing(session: Session) -> None:
    jobs = session.fill([1, 5], "timeslice")
    heard = session.audio().of(jobs[5])
    assert heard.seconds == pytest.approx(SLICE_SECONDS[5], abs=TWO_PACKETS)
    assert (heard.partial, heard.header_synthesised) == (None, False)


def test_a_slice_whose_session_lacks_its_first_chunk_is_decoded_with_a_header_made_up_and_says_so(
    session: Session,
) -> None:
    jobs = session.fill([4, 5, 6], "timeslice")
    heard = session.audio().of(jobs[5])
    assert round(heard.seconds, 2) == SLICE_SECONDS[5]
    assert heard.header_synthesised


def test_a_header_that_comes_late_is_used_for_the_slices_decoded_from_then_on(session: Session) -> None:
    jobs, audio = session.fill([4, 5, 6], "timeslice"), session.audio()
    assert audio.of(jobs[5]).header_synthesised
    session.fill([1], "timeslice")
    assert not audio.of(jobs[6]).header_synthesised


def test_the_header_of_a_session_is_fetched_once_and_outlives_the_chunk_that_it_came_with(
    session: Session, executor: Executor
) -> None:
    jobs = session.fill(range(1, 11), "timeslice")
    audio = session.audio(audio_cache_mb=1)
    audio.of(jobs[3])
    session.delete(jobs[1])
    push_bytes_out(session, audio, executor)
    assert not any(audio.of(jobs[number]).header_synthesised for number in range(4, 11))
    assert session.fetches[1] == 1


def test_a_session_may_begin_with_number_zero(session: Session, executor: Executor) -> None:
    jobs = {number: session.put(number, chunk(number + 1, "timeslice")) for number in range(4)}
    audio = session.audio()
    heard = {number: audio.of(job) for number, job in jobs.items()}
    assert seconds(heard) == {number: SLICE_SECONDS[number + 1] for number in range(4)}
    assert not any(each.header_synthesised for each in heard.values())
    assert seconds(audio.beside(jobs[2], {-1, 0, 1}, executor)) == {0: SLICE_SECONDS[1], 1: SLICE_SECONDS[2]}


def test_webm_by_another_name_is_recognised_by_its_bytes(
    cloud: "Cloud", clock: "FakeClock", executor: Executor
) -> None:
    session = Session(cloud, clock, ext="mp4")
    for kind, expected in (("restart", RESTART_SECONDS), ("timeslice", SLICE_SECONDS[2])):
        jobs, audio = session.fill([1, 2, 3], kind), session.audio()
        heard = audio.of(jobs[2])
        assert (round(heard.seconds, 2), heard.header_synthesised) == (expected, False)
        assert audio.beside(jobs[2], {1, 3}, executor).keys() == {1, 3}


def test_a_slice_is_decoded_when_s3_refuses_the_chunks_beside_it(session: Session) -> None:
    jobs, audio = session.fill([1, 4, 5, 6], "timeslice"), session.audio(retry_attempts=2)
    session.refuse(jobs[4], 403, "AccessDenied")
    session.refuse(jobs[6], 500, "InternalError")
    heard = audio.of(jobs[5])
    assert heard.seconds == pytest.approx(SLICE_SECONDS[5], abs=TWO_PACKETS)
    assert (heard.partial, heard.header_synthesised) == (None, False)


def test_no_header_is_made_up_while_s3_refuses_the_real_one(session: Session) -> None:
    jobs, audio = session.fill([1, 4, 5, 6], "timeslice"), session.audio(retry_attempts=2)
    session.refuse(jobs[1], 503, "SlowDown")
    with pytest.raises(ClientError, match="SlowDown"):
        audio.of(jobs[5])
    session.allow(jobs[1])
    assert not audio.of(jobs[5]).header_synthesised
