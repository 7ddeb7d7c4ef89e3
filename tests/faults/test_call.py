from urllib.parse import quote

import pytest

from tests.faults.harness.call import Call, read_call
from tests.faults.harness.wire import Request

KEY = "users/u 1/audio/sessions/s+ä/chunk-001.webm"


def scope(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"


def s3_call(method: str, path: str, **headers: str) -> Call:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_call("worker-1", Request(method, path, {"authorization": scope("s3"), **named}, b"body"))


def json_call(service: str, target: str, body: str) -> Call:
    headers = {"authorization": scope(service), "x-amz-target": target}
    return read_call("worker-1", Request("POST", "/", headers, body.encode()))


def query_call(service: str, body: str) -> Call:
    return read_call("autoscaler", Request("POST", "/", {"authorization": scope(service)}, body.encode()))


@pytest.mark.parametrize(
    ("method", "query", "headers", "operation"),
    [
        ("GET", "", {}, "GetObject"),
        ("HEAD", "", {}, "HeadObject"),
        ("PUT", "", {}, "PutObject"),
        ("PUT", "?x-id=PutObject", {}, "PutObject"),
        ("PUT", "", {"x_amz_copy_source": "recordings/other"}, "CopyObject"),
        ("DELETE", "", {}, "DeleteObject"),
        ("POST", "?uploads", {}, "CreateMultipartUpload"),
        ("PUT", "?uploadId=1&partNumber=1", {}, "UploadPart"),
        ("POST", "?uploadId=1", {}, "CompleteMultipartUpload"),
        ("DELETE", "?uploadId=1", {}, "AbortMultipartUpload"),
    ],
)
def test_a_call_on_an_object_is_known_by_method_and_query_and_has_its_key_decoded(
    method: str, query: str, headers: dict[str, str], operation: str
) -> None:
    call = s3_call(method, f"/recordings/{quote(KEY)}{query}", **headers)
    assert (call.on, call.target, call.actor) == (f"s3:{operation}", KEY, "worker-1")


@pytest.mark.parametrize(
    ("method", "query", "operation", "target"),
    [
        ("GET", "?list-type=2&prefix=users%2Fu&encoding-type=url", "ListObjectsV2", "users/u"),
        ("GET", "", "ListObjects", ""),
        ("HEAD", "", "HeadBucket", ""),
        ("PUT", "", "CreateBucket", ""),
        ("POST", "?delete", "DeleteObjects", ""),
    ],
)
def test_a_call_on_a_bucket_has_the_prefix_of_a_listing_for_its_target(
    method: str, query: str, operation: str, target: str
) -> None:
    call = s3_call(method, f"/recordings{query}")
    assert (call.operation, call.target) == (operation, target)


def test_a_bucket_in_the_name_of_the_host_is_no_part_of_the_key() -> None:
    for host in ("recordings.s3.us-east-1.amazonaws.com", "recordings.localhost:5000"):
        call = s3_call("GET", "/users/u/a.webm", host=host)
        assert (call.operation, call.target) == ("GetObject", "users/u/a.webm")


def test_a_presigned_request_is_s3s_though_it_has_no_header_that_says_so() -> None:
    path = f"/recordings/{quote(KEY)}?X-Amz-Credential=key%2F20260101%2Feu%2Fs3%2Faws4_request&X-Amz-Date=d"
    call = read_call("client", Request("GET", path, {}, b""))
    assert (call.on, call.target) == ("s3:GetObject", KEY)


def test_conditions_of_a_write_are_kept_and_s3s_body_is_never_parsed() -> None:
    call = s3_call("PUT", f"/recordings/{quote(KEY)}", if_none_match="*", host="127.0.0.1:1")
    assert call.conditions == {"if-none-match": "*"}
    assert (call.raw, call.body) == (b"body", {})


def test_sqs_is_known_by_its_target_header_and_the_queue_by_its_url() -> None:
    body = '{"QueueUrl": "http://127.0.0.1:5000/123456789012/jobs", "WaitTimeSeconds": 1}'
    call = json_call("sqs", "AmazonSQS.ReceiveMessage", body)
    assert (call.on, call.target, call.body["WaitTimeSeconds"]) == ("sqs:ReceiveMessage", "jobs", 1)


@pytest.mark.parametrize("body", ['{"TableName": "ledger"}', '{"RequestItems": {"ledger": {"Keys": []}}}'])
def test_dynamodbs_target_is_the_table(body: str) -> None:
    assert json_call("dynamodb", "DynamoDB_20120810.UpdateItem", body).target == "ledger"


@pytest.mark.parametrize(
    ("service", "body", "on", "target"),
    [
        ("ec2", "Action=StopInstances&InstanceId.2=i-b&InstanceId.1=i-a", "ec2:StopInstances", "i-a,i-b"),
        ("ec2", "Action=CreateTags&ResourceId.1=i-a&Tag.1.Key=k", "ec2:CreateTags", "i-a"),
        ("ec2", "Action=DescribeInstances&Filter.1.Name=tag%3Ak", "ec2:DescribeInstances", ""),
        ("sns", "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A1%3Anotify", "sns:Publish", "notify"),
        (
            "autoscaling",
            "Action=TerminateInstanceInAutoScalingGroup&InstanceId=i-a",
            "autoscaling:TerminateInstanceInAutoScalingGroup",
            "i-a",
        ),
        (
            "autoscaling",
            "Action=SetDesiredCapacity&AutoScalingGroupName=g&DesiredCapacity=1",
            "autoscaling:SetDesiredCapacity",
            "g",
        ),
        ("sts", "Action=GetCallerIdentity&Version=2011-06-15", "sts:GetCallerIdentity", ""),
    ],
)
def test_query_services_are_known_by_action_and_by_what_they_act_on(
    service: str, body: str, on: str, target: str
) -> None:
    call = query_call(service, body)
    assert (call.on, call.target) == (on, target)
    assert call.body["Action"] == call.operation


def test_what_the_scripted_model_says_is_a_call_of_the_service_model() -> None:
    path = "/_harness/transcribe?phase=begin&session=2026-01-01&chunks=001,002"
    call = read_call("worker-2", Request("GET", path, {}, b""))
    assert (call.on, call.target) == ("model:TranscribeBegin", "2026-01-01/001,002")
    assert call.body == {"phase": "begin", "session": "2026-01-01", "chunks": "001,002"}


def test_a_request_that_nobody_signed_is_no_service_that_a_rule_could_name() -> None:
    assert read_call("worker-1", Request("GET", "/moto-api/", {}, b"")).service == "unknown"
