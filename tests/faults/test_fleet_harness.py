"""The harness's fleet without faults, with the simplest ones, and what it says when the fleet does not come to rest."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.state.lock import LockState
from tests.faults.harness.crew import Exit
from tests.faults.harness.dead_letters import DeadLetters
from tests.faults.harness.fleet import Fleet, NotSettledError, fleet
from tests.faults.harness.hosts import Manners
from tests.faults.harness.later import late_scan
from tests.faults.harness.processes import HarnessProcess, NotInTimeError
from tests.faults.harness.rules import Kill, Rule
from tests.faults.harness.server import CloudServer, cloud_server

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    """One moto for all of them: each fleet empties it."""
    with cloud_server(tmp_path_factory.mktemp("cloud")) as running:
        yield running


def _texts(running: Fleet) -> dict[str, str]:
    """Key -> text, of all chunk transcripts that the fleet has written."""
    texts = {}
    for session in running.sessions:
        for chunk in session.gaps:
            key = f"{session.path}/transcription-chunk-{chunk}.json"
            body = running.cloud.s3.get_object(Bucket=running.settings.bucket, Key=key)["Body"].read()
            texts[key] = json.loads(body)["text"]
    return texts


def _truth(running: Fleet) -> dict[str, str]:
    return {
        f"{session.path}/transcription-chunk-{chunk}.json": " ".join(session.words(chunk) or ())
        for session in running.sessions
        for chunk in session.gaps
    }


@pytest.mark.e2e
def test_two_workers_fill_three_sessions_with_exactly_what_was_said(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server, workers=2) as running:
        # given
        for number in (1, 2, 3):
            running.put_session("ann", f"session-{number}", transcribed={1, 5} if number == 2 else ())
        workers = running.start_workers()
        for worker in workers:
            worker.wait_ready()
        # when
        assert running.scan()["enqueued"] == 34
        running.settled()
        running.sessions_finished()
        running.stop_workers()
        # then
        assert _texts(running) == _truth(running)
        assert running.dead_letters() == []
        assert running.exits == (Exit("worker-1", 0), Exit("worker-2", 0))
        by = {entry.call.actor for entry in running.proxy.journal.calls("model:TranscribeBegin")}
        assert by == {"worker-1", "worker-2"}
        ended = running.proxy.journal.calls("sqs:DeleteMessage")
        assert len([entry for entry in ended if entry.effective]) == 34


@pytest.mark.e2e
def test_a_pool_instance_starts_by_a_tick_outlives_a_killed_worker_and_stops_itself(
    server: CloudServer, tmp_path: Path
) -> None:
    with fleet(tmp_path, server=server, workers=1, visibility_timeout_seconds=2) as running:
        # given: a host, whose worker is killed when it has heard its first window
        running.put_session("ann", "session-1", chunks=range(1, 9))
        hosts = running.hosts(manners=Manners(restart_seconds=0.05))
        killed = running.proxy.add(Rule("model:TranscribeEnd", Kill(), nth=1))
        running.scan()
        assert running.host(1).runs == []
        # when
        assert running.tick()["outcome"]["started"] == [running.host(1).instance_id]
        running.settled()
        running.instances_stopped()
        # then
        assert _texts(running) == _truth(running)
        assert killed.struck == 1
        assert running.exits == (Exit("worker-1", -signal.SIGKILL), Exit("worker-1", 0))
        assert list(hosts.states().values()) == ["stopped"]
        stops = running.proxy.journal.calls("ec2:StopInstances")
        assert [entry.call.actor for entry in stops] == ["worker-1"]


@pytest.mark.e2e
def test_a_host_whose_worker_is_set_up_wrongly_stops_itself(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server, workers=1) as running:
        running.hosts(env={"SCRIBEFLEET_MAX_EMPTY_POLLS": "0"})
        running.cloud.sqs.send_message(QueueUrl=running.settings.jobs_queue_url, MessageBody="{}")
        running.tick()
        running.instances_stopped()
        assert running.exits == (Exit("worker-1", 2), Exit("worker-1", 0))
        assert running.processes[1].events("host_stopped")


def test_a_fleet_that_is_not_at_rest_says_what_is_left(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server) as running:
        assert running.settled(timeout=0) < 1
        # given: audio that no scan has seen
        session = running.put_session("ann", "session-1", chunks=[1, 2])
        with pytest.raises(NotSettledError, match="2 gaps without a transcript or a dead letter: session-1/001"):
            running.settled(timeout=0.1)
        # given: both chunks are dead letters
        for chunk in session.chunks:
            running.cloud.sqs.send_message(
                QueueUrl=running.settings.dead_letter_queue_url,
                MessageBody=json.dumps({"userId": "ann", "sessionId": "session-1", "chunk": chunk}),
            )
        assert running.settled(timeout=0) < 1
        # given: a message that nobody takes
        running.cloud.sqs.send_message(QueueUrl=running.settings.jobs_queue_url, MessageBody="{}")
        with pytest.raises(NotSettledError, match="1 messages visible"):
            running.settled(timeout=0.1)


def test_a_hold_is_remembered_from_its_taking_to_its_release(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server) as running:
        running.take_lock("ann", "stale", seconds_ago=3600)
        assert list(running.holds) == []  # it counts for nobody
        running.take_lock("ann", "live")
        running.take_lock("ann", "live")
        state = running.release_lock("ann", "live")
        assert not state.held
        (hold,) = running.holds
        assert 0 < hold.end - hold.begin < 5
        writers = {entry.call.actor for entry in running.proxy.journal.calls(target="batch-lock.json")}
        assert writers == {"recorder"}


def test_a_lock_that_nobody_can_read_is_a_hold_until_it_is_removed(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server) as running:
        running.recorder.write(b"no lock")
        assert running.recorder.read().problem
        running.recorder.remove()
        assert running.recorder.read() == LockState()
        (hold,) = running.holds
        assert 0 < hold.end - hold.begin < 5


def test_a_hold_that_somebody_else_takes_away_has_ended(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server) as running:
        running.take_lock("ann", "live")
        running.recorder.overruled()
        (hold,) = running.holds
        assert 0 < hold.end - hold.begin < 5
        assert running.recorder.read().held  # it was only noted


def test_a_scan_at_another_time_of_day_has_that_time(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server, scan_min_age_seconds=3600) as running:
        running.put_session("ann", "session-1", chunks=[1, 2])
        queued = []
        for ahead in (0.0, 3700.0):
            scan = late_scan(running, ahead=ahead)
            assert scan.wait(60) == 0
            queued.append(scan.events("scan")[0]["queued"])
        assert queued == [0, 2]


def test_dead_letters_are_read_with_their_reasons_and_stay_where_they_are(cloud: "Cloud") -> None:
    url = cloud.settings.dead_letter_queue_url
    for number in range(23):
        cloud.sqs.send_message(
            QueueUrl=url,
            MessageBody=json.dumps({"userId": "ann", "sessionId": "s", "chunk": f"{number:03d}"}),
            MessageAttributes={"reason": {"DataType": "String", "StringValue": "audio-empty"}},
        )
    letters = DeadLetters(cloud.sqs, url)
    for _ in range(2):
        found = letters.all()
        assert sorted(letter[:3] for letter in found) == [("s", f"{n:03d}", "audio-empty") for n in range(23)]


def test_an_actor_has_one_worker_at_a_time(server: CloudServer, tmp_path: Path) -> None:
    with fleet(tmp_path, server=server) as running:
        running.start_worker("worker-1")
        with pytest.raises(ValueError, match="worker-1 still runs"):
            running.start_worker("worker-1")
    assert len(running.exits) == 1  # and it has ended with its fleet


def test_a_process_that_ends_without_saying_what_is_waited_for_is_not_waited_for(tmp_path: Path) -> None:
    process = HarnessProcess("one", "this", [], {}, tmp_path)
    with pytest.raises(NotInTimeError, match="did not say 'ready' before it ended with 0"):
        process.wait_for_event("ready", timeout=30)
    assert "The Zen of Python" in process.log()
    assert process.wait(1) == 0
