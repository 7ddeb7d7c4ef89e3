"""Asks the queues for a real message, because their counts show messages that are not there.

It takes nothing: the message stays visible to workers, and none is deleted. The one trace is the message's receive
count, which grows by one; the queue gives a message to the dead-letter queue after ten.
"""

from typing import TYPE_CHECKING

from autoscaler.model import ProbeResult
from shared.aws.sqs import queue_depth
from shared.errors import AWS_ERRORS, cause_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# Any wait makes SQS ask all of its servers; without one it asks some, and may miss a message that is there
# (SQS Developer Guide, "Short and long polling"). It answers at once when there is one.
_WAIT_SECONDS = 2


class QueueProbe:
    """Looks at one message at most, on the first of the queues that has one."""

    def __init__(self, sqs: "SQSClient", queue_urls: tuple[str, ...]) -> None:
        self._sqs = sqs
        self._urls = queue_urls

    def look(self) -> tuple[ProbeResult, tuple[str, ...]]:
        """What was found, and one line for each queue that could not be asked; never raises for what AWS refuses."""
        problems: list[str] = []
        for url in self._urls:
            try:
                if self._has_message(url):
                    return ProbeResult.MESSAGE, ()
            except AWS_ERRORS as error:
                why = cause_of(error)
                problems.append(f"could not look for a message on the queue {url.rsplit('/', 1)[-1]} ({why})")
        return (ProbeResult.REFUSED if problems else ProbeResult.NOTHING), tuple(problems)

    def _has_message(self, url: str) -> bool:
        if not queue_depth(self._sqs, url).visible:  # so that no time goes into a queue that shows nothing
            return False
        answer = self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=0, WaitTimeSeconds=_WAIT_SECONDS
        )
        return bool(answer.get("Messages"))
