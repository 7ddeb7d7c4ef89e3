"""How each effect looks to a real boto3 client, and what it does to the cloud behind the proxy."""

import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from tests.faults.harness.answers import queue_counts, replaced
from tests.faults.harness.proxy import FaultProxy
from tests.faults.harness.rules import (
    Delay,
    DeliverTwice,
    Hang,
    Kill,
    Order,
    Reorder,
    Reset,
    Rewrite,
    Rule,
    StaleReceipt,
    Swallow,
    Then,
    Truncate,
    Twice,
)
from tests.faults.through_proxy import WORKER, ec2_of, keys, s3_of, sqs_of, stored

if TYPE_CHECKING:
    from tests.conftest import Cloud


@pytest.mark.parametrize("after", [False, True])
def test_a_reset_comes_before_the_call_is_carried_out_or_after(cloud: "Cloud", proxy: FaultProxy, after: bool) -> None:
    proxy.add(Rule("s3:PutObject", Reset(after=after)))
    with pytest.raises(ConnectionClosedError) as caught:
        s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert type(caught.value.kwargs["error"].args[1]) is ConnectionResetError  # and no orderly end
    assert keys(cloud) == (["k"] if after else [])
    [put] = proxy.journal.calls("s3:PutObject")
    assert (put.status, put.effective, put.faults) == (0, after, ("Reset",))


def test_a_truncated_body_ends_the_read_with_an_error(cloud: "Cloud", proxy: FaultProxy) -> None:
    cloud.s3.put_object(Bucket=cloud.settings.bucket, Key="k", Body=bytes(10_000))
    proxy.add(Rule("s3:GetObject", Truncate(4_000), times=1))
    s3 = s3_of(proxy)
    answer = s3.get_object(Bucket=cloud.settings.bucket, Key="k")
    assert answer["ContentLength"] == 10_000
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        answer["Body"].read()
    assert len(s3.get_object(Bucket=cloud.settings.bucket, Key="k")["Body"].read()) == 10_000
    assert [entry.status for entry in proxy.journal.calls("s3:GetObject", actor=WORKER)] == [0, 200]


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_call_hangs_until_the_client_gives_up(cloud: "Cloud", proxy: FaultProxy, carried_out: bool) -> None:
    proxy.add(Rule("s3:PutObject", Hang(60, carried_out=carried_out)))
    with pytest.raises(ReadTimeoutError):
        s3_of(proxy, read_timeout=0.3).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    proxy.wait_for("s3:PutObject", timeout=20)  # over when the client has gone, not after a minute
    assert keys(cloud) == (["k"] if carried_out else [])


def test_a_delay_holds_a_call_before_it_is_carried_out(cloud: "Cloud", proxy: FaultProxy) -> None:
    delay = proxy.add(Rule("s3:PutObject", Delay(0.4)))
    began = time.monotonic()
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert time.monotonic() - began >= 0.4
    assert delay.last_strike is not None
    assert proxy.last_strike == delay.last_strike >= began


def test_a_call_is_carried_out_twice_and_the_first_answer_counts(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("sqs:SendMessage", Twice()))
    sqs_of(proxy).send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="job")
    received = cloud.sqs.receive_message(QueueUrl=cloud.settings.jobs_queue_url, MaxNumberOfMessages=10)
    assert len(received["Messages"]) == 2


def test_the_last_answer_counts_when_that_is_wanted(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("s3:PutObject", Twice(answer="last")))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x", IfNoneMatch="*")
    assert proxy.journal.calls("s3:PutObject")[0].carried_out == (200, 412)


def test_a_swallowed_call_looks_done_and_is_not(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("*", Swallow()))
    ec2 = ec2_of(proxy)
    assert ec2.stop_instances(InstanceIds=["i-0123456789abcdef0"])["ResponseMetadata"]["HTTPStatusCode"] == 200
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    sqs_of(proxy).send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="job")
    boto3.client("sns", endpoint_url=proxy.endpoint(WORKER)).publish(TopicArn="arn:aws:sns:r:1:t", Message="m")
    assert keys(cloud) == []
    assert all((entry.status, entry.effective) == (200, False) for entry in proxy.journal.calls())


def test_counts_of_a_queue_can_lag_and_spike(cloud: "Cloud", proxy: FaultProxy) -> None:
    cloud.sqs.send_message(QueueUrl=cloud.settings.jobs_queue_url, MessageBody="job")
    proxy.add(Rule("sqs:GetQueueAttributes", Rewrite(queue_counts(visible=500))))
    told = sqs_of(proxy).get_queue_attributes(QueueUrl=cloud.settings.jobs_queue_url, AttributeNames=["All"])
    assert told["Attributes"]["ApproximateNumberOfMessages"] == "500"
    assert told["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_an_instance_can_look_as_if_it_were_in_another_state(cloud: "Cloud", proxy: FaultProxy) -> None:
    cloud.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    proxy.add(Rule("ec2:DescribeInstances", Rewrite(replaced("<name>running</name>", "<name>pending</name>"))))
    [reservation] = ec2_of(proxy).describe_instances()["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "pending"


@pytest.mark.parametrize("after", [False, True])
def test_other_things_happen_before_or_after_a_call(cloud: "Cloud", proxy: FaultProxy, after: bool) -> None:
    seen: list[list[str]] = []
    proxy.add(Rule("s3:PutObject", Then(lambda _: seen.append(keys(cloud)), after=after)))
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert seen == [["k"] if after else []]


def test_of_two_calls_the_first_is_overtaken(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("s3:PutObject", Reorder(seconds=20)))
    s3, bucket = s3_of(proxy, read_timeout=30), cloud.settings.bucket
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(s3.put_object, Bucket=bucket, Key="k", Body=b"first")
        proxy.wait_for("s3:PutObject", arrived=True)
        s3.put_object(Bucket=bucket, Key="k", Body=b"second")
        first.result()
    assert stored(cloud, "k") == b"first"


def test_a_call_that_nobody_overtakes_goes_on_by_itself(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("s3:PutObject", Reorder()))
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert keys(cloud) == ["k"]


def test_a_message_is_delivered_to_two_and_either_can_delete_it(cloud: "Cloud", proxy: FaultProxy) -> None:
    queue, sqs = cloud.settings.jobs_queue_url, sqs_of(proxy)
    for body in ("a", "b"):
        cloud.sqs.send_message(QueueUrl=queue, MessageBody=body)
    proxy.add(Rule("sqs:ReceiveMessage", DeliverTwice(), times=1))
    first = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    second = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert {message["Body"] for message in first} == {message["Body"] for message in second} == {"a", "b"}
    for message in first:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    counts = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_an_empty_receive_is_left_as_it_is(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("sqs:ReceiveMessage", DeliverTwice()))
    assert "Messages" not in sqs_of(proxy).receive_message(QueueUrl=cloud.settings.jobs_queue_url)


def test_with_a_stale_handle_a_delete_does_nothing_and_a_lease_cannot_be_extended(
    cloud: "Cloud", proxy: FaultProxy
) -> None:
    queue, sqs = cloud.settings.jobs_queue_url, sqs_of(proxy)
    cloud.sqs.send_message(QueueUrl=queue, MessageBody="job")
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    handle = message["ReceiptHandle"]
    proxy.add(Rule("sqs:*", StaleReceipt()))
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
    deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "a", "ReceiptHandle": handle}])
    assert [each["Id"] for each in deleted["Successful"]] == ["a"]
    with pytest.raises(ClientError, match="receipt handle has expired"):
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=9)
    extended = sqs.change_message_visibility_batch(
        QueueUrl=queue, Entries=[{"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 9}]
    )
    assert [(each["Id"], each["Code"]) for each in extended["Failed"]] == [("a", "InvalidParameterValue")]
    counts = cloud.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"


CALLER = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], data=b"x", method="PUT", headers={"Authorization": sys.argv[2]})
urllib.request.urlopen(request).read()
"""


def _process(proxy: FaultProxy, key: str) -> "subprocess.Popen[bytes]":
    """A process that puts one object as the worker, and ends."""
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    url = f"{proxy.endpoint(WORKER)}/recordings/{key}"
    started = subprocess.Popen([sys.executable, "-c", CALLER, url, scope], stderr=subprocess.DEVNULL)
    proxy.register(WORKER, lambda: started.pid)
    return started


@pytest.mark.parametrize("before", [True, False])
def test_a_caller_is_killed_before_its_call_is_carried_out_or_after(
    cloud: "Cloud", proxy: FaultProxy, before: bool
) -> None:
    proxy.add(Rule("s3:PutObject", Kill(before=before)))
    assert _process(proxy, "k").wait(10) == -signal.SIGKILL
    proxy.wait_for("s3:PutObject", timeout=5)
    assert keys(cloud) == ([] if before else ["k"])


def test_the_call_of_a_caller_that_only_gets_a_hint_goes_on(cloud: "Cloud", proxy: FaultProxy) -> None:
    proxy.add(Rule("s3:PutObject", Kill(sig=signal.SIGCONT)))
    assert _process(proxy, "k").wait(10) == 0
    assert keys(cloud) == ["k"]


def test_another_actors_death_leaves_the_callers_call_alone(cloud: "Cloud", proxy: FaultProxy) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        proxy.register("worker-2", lambda: other.pid)
        proxy.add(Rule("s3:PutObject", Kill(actor="worker-2")))
        s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
        assert other.wait(5) == -signal.SIGKILL
    assert keys(cloud) == ["k"]


def test_an_actor_that_has_no_process_just_now_cannot_be_killed_and_that_is_no_failure(
    cloud: "Cloud", proxy: FaultProxy
) -> None:
    proxy.register("worker-2", lambda: None)
    proxy.add(Rule("s3:PutObject", Kill(actor="worker-2")))
    s3_of(proxy).put_object(Bucket=cloud.settings.bucket, Key="k", Body=b"x")
    assert keys(cloud) == ["k"]


def _announce(proxy: FaultProxy, phase: str) -> bytes:
    url = f"{proxy.endpoint(WORKER)}/_harness/transcribe?phase={phase}&session=s1&chunks=001,002"
    with urllib.request.urlopen(url, timeout=5) as answer:
        content = answer.read()
    assert isinstance(content, bytes)
    return content


def test_the_models_announcements_are_answered_by_the_proxy_itself_and_noted(lonely: FaultProxy) -> None:
    assert [_announce(lonely, "begin"), _announce(lonely, "end")] == [b"ok", b"ok"]
    begin, end = lonely.journal.calls("model:*", target="^s1/001,002$")
    assert (begin.call.operation, end.call.operation) == ("TranscribeBegin", "TranscribeEnd")
    assert begin.ended <= end.began
    assert begin.call.body["chunks"] == "001,002"


def test_a_models_announcement_can_be_answered_with_an_order(lonely: FaultProxy) -> None:
    lonely.add(Rule("model:TranscribeBegin", Order("memory"), times=1))
    assert [_announce(lonely, "begin"), _announce(lonely, "begin")] == [b"memory", b"ok"]
