"""What the self-test may do by the policy in its documentation is what it does."""

from typing import TYPE_CHECKING

import pytest
from botocore.stub import ANY, Stubber

from deploy.fleet import find_fleet
from deploy.selftest import cli
from tests.fixtures.recorded_calls import Recorder, documented_actions, record_actions

if TYPE_CHECKING:
    from tests.deploy.selftest.conftest import Site


def worker(site: "Site", recorder: Recorder) -> None:
    """Somebody else, whose calls are not the self-test's."""
    with recorder.paused():
        site.work()


def test_the_documented_policy_allows_what_the_self_test_calls_and_nothing_else(
    site: "Site", monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a fleet with an instance, and a job of somebody else on its queue
    site.deploy()
    site.add_instance()
    site.cloud.sqs.send_message(QueueUrl=site.settings.priority_queue_url, MessageBody="{}")
    recorder = record_actions(monkeypatch)
    # when: nobody works, so that the job is taken back
    stack = find_fleet(site.clients.cloudformation, "scribefleet")
    site.self_test(timeout_seconds=5).run()
    # when: a worker works, and the session is removed later
    with recorder.paused():
        site.bodies(site.settings.priority_queue_url)
        site.cloud.sqs.purge_queue(QueueUrl=site.settings.priority_queue_url)
    site.clock.events = [lambda: worker(site, recorder)]
    assert site.self_test(keep=True).run().passed
    monkeypatch.setattr(cli, "SystemClock", lambda: site.clock)
    with pytest.raises(SystemExit):
        cli._clean(site.clients, site.settings, as_json=True)
    # when: the scanner is asked, which the emulator runs only in containers
    with Stubber(site.clients.functions) as stubbed:
        asked = {"FunctionName": "scanner", "InvocationType": "Event", "Payload": ANY}
        stubbed.add_response("invoke", {"StatusCode": 202}, asked)
        cli._scan(site.clients, stack)
    # then
    assert recorder.actions == documented_actions("scribefleet selftest")
