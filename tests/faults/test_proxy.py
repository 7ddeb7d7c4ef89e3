"""The proxy between real boto3 clients and moto's server: what goes through, what is noted, how rules act together."""

import http.client
import http.server
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.faults.harness.effects import Effect, Passage, Reply
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.rules import SLOW_DOWN, Delay, Hang, Reset, Rule, Swallow, Then, Twice
from tests.faults.through_proxy import NOWHERE, WORKER, dynamodb_of, keys, s3_of, sqs_of, stored

if TYPE_CHECKING:
    from tests.conftest import Cloud


def test_an_object_of_any_size_comes_back_as_it_was_put(cloud: "Cloud", proxy: FaultProxy) -> None:
    s3 = s3_of(proxy)
    for size in (0, 1, 70_000, 5_000_000):
        s3.put_object(Bucket=cloud.settings.bucket, Key=f"k/{size}", Body=bytes(size))
        assert s3.get_object(Bucket=cloud.settings.bucket, Key=f"k/{size}")["Body"].read() == bytes(size)
        assert s3.head_object(Bucket=cloud.settings.bucket, Key=f"k/{size}")["ContentLength"] == size
    [put] = proxy.journal.calls("s3:PutObject", target="70000")
    assert (put.size, put.call.raw, put.status, put.carried_out) == (70_000, b"", 200, (200,))


def test_a_file_a_stream_and_a_big_upload_in_parts_go_through(cloud: "Cloud", proxy: FaultProxy) -> None:
    s3, bucket = s3_of(proxy), cloud.settings.bucket
    big = bytes(range(256)) * 40_000  # boto3 uploads from 8 MB on in parts
    s3.put_object(Bucket=bucket, Key="file", Body=io.BytesIO(b"from a file"))
    s3.upload_fileobj(io.BytesIO(big), bucket, "parts")
    assert stored(cloud, "file") == b"from a file"
    assert stored(cloud, "parts") == big
    assert len(proxy.journal.calls("s3:UploadPart")) == 2


def test_a_body_in_chunks_with_a_trailing_checksum_goes_through_whole(cloud: "Cloud", proxy: FaultProxy) -> None:
    """As boto3 sends to endpoints of TLS, and other clients anywhere: the length is not told ahead."""
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    connection = http.client.HTTPConnection(proxy.endpoint(WORKER).removeprefix("http://"))
    headers = {
        "Authorization": scope,
        "Content-Encoding": "aws-chunked",
        "X-Amz-Trailer": "x-amz-checksum-crc32",
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "X-Amz-Decoded-Content-Length": "5",
    }
    path = f"/{cloud.settings.bucket}/chunked"
    connection.request("PUT", path, iter([framed[:7], framed[7:]]), headers, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert stored(cloud, "chunked") == b"hello"


def test_keys_of_any_letters_arrive_as_they_are(cloud: "Cloud", proxy: FaultProxy) -> None:
    key = "users/ü +%2F=&?#'/audio/sessions/s 1/chunk-001.webm"
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key=key, Body=b"x")
    assert keys(cloud) == [key]
    assert [entry.call.target for entry in proxy.journal.calls()] == [key]


def test_a_missing_object_and_a_failed_condition_look_as_they_do_without_the_proxy(
    cloud: "Cloud", proxy: FaultProxy
) -> None:
    s3, bucket = s3_of(proxy), cloud.settings.bucket
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="none")
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    first, second = proxy.journal.calls("s3:PutObject")
    assert (first.effective, second.effective) == (True, False)
    assert first.call.conditions == {"if-none-match": "*"}
    assert first.etag == s3.head_object(Bucket=bucket, Key="k")["ETag"].strip('"')


def test_a_message_lives_its_whole_life_through_the_proxy(cloud: "Cloud", proxy: FaultProxy) -> None:
    sqs, queue = sqs_of(proxy), cloud.settings.jobs_queue_url
    sqs.send_message(QueueUrl=queue, MessageBody="job")
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert message["Body"] == "job"
    assert [entry.call.on for entry in proxy.journal.calls(target="^jobs$")] == [
        "sqs:SendMessage",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
    ]
    assert proxy.journal.calls("sqs:DeleteMessage")[0].call.body["ReceiptHandle"] == message["ReceiptHandle"]


def test_every_actor_is_known_by_its_port(cloud: "Cloud", proxy: FaultProxy) -> None:
    assert proxy.endpoint("a") == proxy.endpoint("a") != proxy.endpoint("b")
    for actor in ("a", "b", "b"):
        s3_of(proxy, actor=actor).list_objects_v2(Bucket=cloud.settings.bucket)
    assert [len(proxy.journal.calls("s3:ListObjectsV2", actor=actor)) for actor in ("a", "b", "c")] == [1, 2, 0]


def test_many_threads_of_one_client_are_served_at_once(cloud: "Cloud", proxy: FaultProxy) -> None:
    s3 = s3_of(proxy)
    all_there = threading.Barrier(8, timeout=20)
    proxy.add(Rule("s3:PutObject", Then(lambda _: all_there.wait())))
    with ThreadPoolExecutor(8) as pool:
        put = [pool.submit(s3.put_object, Bucket=cloud.settings.bucket, Key=f"{n}", Body=b"x") for n in range(8)]
        for each in put:
            each.result()
    assert len(keys(cloud)) == 8


@pytest.mark.usefixtures("cloud")  # for its credentials
def test_writes_that_the_emulator_would_mix_up_reach_it_one_at_a_time() -> None:
    """It looks at a condition and writes in two steps, and copies and replaces a queue's list of messages."""
    with _slow_cloud() as slow, FaultProxy(slow.url) as proxy, ThreadPoolExecutor(4) as pool:
        dynamodb, sqs, url = dynamodb_of(proxy), sqs_of(proxy), f"{slow.url}/1/jobs"
        item = {"sessionPath": {"S": "s"}, "chunk": {"S": "001"}}
        list(pool.map(lambda _: dynamodb.put_item(TableName="ledger", Item=item), range(4)))
        list(pool.map(lambda n: sqs.delete_message(QueueUrl=url, ReceiptHandle=f"{n}"), range(4)))
        assert slow.most_at_once == 1
        list(pool.map(lambda _: dynamodb.get_item(TableName="ledger", Key=item), range(4)))
        assert slow.most_at_once > 1


@dataclass
class _SlowCloud:
    """A service that takes its time, and counts how many calls it has at once."""

    url: str = ""
    now: int = 0
    most_at_once: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)

    def answer(self) -> None:
        with self.counting:
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
        time.sleep(0.2)
        with self.counting:
            self.now -= 1


@contextmanager
def _slow_cloud() -> Iterator[_SlowCloud]:
    slow = _SlowCloud()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            slow.answer()
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        slow.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield slow
        finally:
            server.shutdown()
            thread.join()


def test_a_cloud_that_is_away_is_a_bad_gateway_and_no_end_of_the_proxy(lonely: FaultProxy) -> None:
    for _ in range(2):
        with pytest.raises(ClientError, match="BadGateway"):
            s3_of(lonely).list_objects_v2(Bucket="any")
    assert [(entry.status, entry.carried_out) for entry in lonely.journal.calls()] == [(502, ()), (502, ())]


def test_rules_act_together_in_the_order_in_which_they_were_added(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("s3:PutObject", Twice()))
    proxy.add(Rule("s3:PutObject", Reset(after=True)))
    with pytest.raises(ConnectionClosedError):
        s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert proxy.journal.calls("s3:PutObject")[0].faults == ("Twice", "Reset")
    assert proxy.journal.calls("s3:PutObject")[0].carried_out == (200, 200)


def test_a_rule_behind_a_refusal_does_not_count_the_call(cloud: "Cloud", proxy: FaultProxy) -> None:
    refusal = proxy.add(Rule("s3:PutObject", SLOW_DOWN, times=1))
    behind = proxy.add(Rule("s3:PutObject", Delay(0), nth=1))
    s3_of(proxy, attempts=2).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert (refusal.struck, behind.struck, proxy.injected) == (1, 1, 2)
    assert [entry.faults for entry in proxy.journal.calls("s3:PutObject")] == [("Fail",), ("Delay",)]


def test_a_rule_that_was_removed_strikes_no_more_and_is_still_counted(lonely: FaultProxy) -> None:
    delay = lonely.add(Rule("s3:*", Delay(0)))
    lonely.add(Rule("s3:*", Swallow()))
    s3 = s3_of(lonely)
    s3.delete_object(Bucket="any", Key="k")
    lonely.remove(delay)
    s3.delete_object(Bucket="any", Key="k")
    lonely.clear()
    with pytest.raises(ClientError, match="BadGateway"):
        s3.delete_object(Bucket="any", Key="k")
    assert (delay.struck, lonely.injected) == (1, 3)


def test_two_proxies_with_one_seed_choose_the_same_calls(lonely: FaultProxy) -> None:
    chosen = []
    for seed in (1, 1, 2):
        with FaultProxy(NOWHERE, seed=seed) as proxy:
            proxy.add(Rule("s3:*", Delay(0), probability=0.5))
            proxy.add(Rule("s3:*", Swallow()))
            s3 = s3_of(proxy)
            for _ in range(24):
                s3.delete_object(Bucket="any", Key="k")
            chosen.append(["Delay" in entry.faults for entry in proxy.journal.calls()])
    assert chosen[0] == chosen[1] != chosen[2]


def test_what_a_rule_raises_is_kept_for_the_script(lonely: FaultProxy) -> None:
    class Broken(Effect):
        def inward(self, passage: Passage) -> Reply:
            raise LookupError("a mistake of the script")

    with FaultProxy(NOWHERE) as proxy:
        proxy.add(Rule("s3:*", Broken(), times=1))
        with pytest.raises(ConnectionClosedError):
            s3_of(proxy).list_objects_v2(Bucket="any")
        assert [str(error) for error in proxy.failures] == ["a mistake of the script"]


def test_waiting_for_a_call_ends_when_it_is_over(lonely: FaultProxy) -> None:
    lonely.add(Rule("s3:*", Delay(0.2)))
    lonely.add(Rule("s3:*", Swallow()))
    with ThreadPoolExecutor(1) as pool:
        deleted = pool.submit(s3_of(lonely).delete_object, Bucket="any", Key="k")
        lonely.wait_for("s3:DeleteObject", actor=WORKER, target="^k$", timeout=5)
        assert len(lonely.journal.calls("s3:DeleteObject")) == 1
        deleted.result()


def test_waiting_in_vain_says_what_there_was(lonely: FaultProxy) -> None:
    lonely.add(Rule("s3:*", Swallow()))
    s3_of(lonely).delete_object(Bucket="any", Key="k")
    with pytest.raises(TimeoutError, match=r"1 of 2 calls s3:\*"):
        lonely.wait_for("s3:*", count=2, timeout=0.05)


def test_a_call_on_its_way_can_be_waited_for(lonely: FaultProxy) -> None:
    lonely.add(Rule("s3:*", Hang(60)))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(s3_of(lonely).list_objects_v2, Bucket="any")
        lonely.wait_for("s3:*", arrived=True)
        assert lonely.journal.calls() == []
        lonely.close()
        with pytest.raises(ConnectionClosedError):
            hanging.result()


def test_long_bodies_are_not_kept(lonely: FaultProxy) -> None:
    lonely.add(Rule("sqs:*", Swallow()))
    sqs, queue = sqs_of(lonely), "http://127.0.0.1/1/jobs"
    for body in ("short", "long" * 1000):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(body))
    short, long = lonely.journal.calls("sqs:SendMessage")
    assert short.call.body["MessageBody"] == '"short"'
    assert (long.call.raw, long.call.target) == (b"", "jobs")
    assert long.size > 4000


def test_closing_ends_calls_that_are_held_and_leaves_no_thread(lonely: FaultProxy) -> None:
    before = threading.active_count()
    proxy = FaultProxy(NOWHERE)
    proxy.add(Rule("s3:*", Delay(60)))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(s3_of(proxy).list_objects_v2, Bucket="any")
        proxy.wait_for("s3:*", arrived=True)
        began = time.monotonic()
        proxy.close()
        assert held.exception(timeout=5) is not None
    assert time.monotonic() - began < 3
    assert threading.active_count() == before
