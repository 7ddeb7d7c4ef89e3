"""What the conditions of the roles keep anyone from: tried with the roles' credentials, on instances that are there."""

from typing import TYPE_CHECKING

import pytest

from tests.iam.harness.evaluator import Request, allows

if TYPE_CHECKING:
    from tests.iam.harness.gate import Call
    from tests.iam.harness.recording import Recording


ATTEMPTS = [
    "autoscaler stops an instance without the fleet's tag",
    "autoscaler stops an instance of another fleet",
    "autoscaler stops one of its own and a foreign one",
    "autoscaler starts an instance without the fleet's tag",
    "autoscaler reboots an instance without the fleet's tag",
    "autoscaler takes an instance into the fleet",
    "autoscaler renames an instance",
    "autoscaler hides a foreign tag behind its own",
    "autoscaler takes the fleet's tag away",
    "autoscaler deletes all tags",
    "worker stops another worker's instance",
    "worker stops an instance without the fleet's tag",
    "worker stops itself and another",
    "scanner reads a recording",
    "scanner overwrites a chunk's transcript",
    "worker overwrites a recording",
    "worker takes the lock",
    "worker deletes a transcript",
    "autoscaler writes a job's state",
    "autoscaler reads a job's state",
    "worker writes the autoscaler's record",
    "scanner writes a worker's heartbeat",
    "worker reads the dead-letter queue",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_what_nobody_should_do_is_refused(pool_recording: "Recording", attempt: str) -> None:
    assert pool_recording.attempts[attempt] in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


def test_every_attempt_that_was_made_is_looked_at(pool_recording: "Recording") -> None:
    assert sorted(pool_recording.attempts) == sorted(ATTEMPTS)


def test_a_worker_stops_itself(pool_recording: "Recording") -> None:
    # The same call, of which another instance's is refused above.
    stop = own_stop(pool_recording)
    assert stop.allowed
    assert stop.requests[0].resource.endswith(f":instance/{stop.caller.session_name}")


def test_a_worker_off_ec2_stops_no_instance(pool_recording: "Recording") -> None:
    # Credentials that were taken away from an instance and used elsewhere do not carry its ARN.
    (request,) = own_stop(pool_recording).requests
    elsewhere = {key: values for key, values in request.context.items() if key != "ec2:SourceInstanceARN"}
    assert not allows(pool_recording.policies["worker"], Request(request.action, request.resource, elsewhere))


def own_stop(recording: "Recording") -> "Call":
    (stop,) = [c for c in recording.calls if (c.caller.component, c.operation) == ("worker", "StopInstances")]
    return stop
