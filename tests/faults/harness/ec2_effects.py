"""What EC2 does to a fleet beside refusing: it says that it stops and does not, lags behind, takes long to start."""

import re
from typing import Final

from tests.faults.harness.answers import blank, with_body
from tests.faults.harness.effects import Effect, Passage
from tests.faults.harness.wire import Answer

_RUNNING: Final = re.compile(r"<instanceState>\s*<code>16</code>\s*<name>running</name>\s*</instanceState>")
_PENDING: Final = "<instanceState><code>0</code><name>pending</name></instanceState>"
_STOPPING: Final = (
    "<StopInstancesResponse><requestId>ignored</requestId><instancesSet>{items}</instancesSet></StopInstancesResponse>"
)
_STOPPING_ITEM: Final = (
    "<item><instanceId>{name}</instanceId><currentState><code>64</code><name>stopping</name></currentState>"
    "<previousState><code>16</code><name>running</name></previousState></item>"
)


class IgnoredStop(Effect):
    """EC2 says that it stops the instances, and does not."""

    def inward(self, passage: Passage) -> Answer:
        items = "".join(_STOPPING_ITEM.format(name=name) for name in passage.call.target.split(","))
        return with_body(blank(passage.call), _STOPPING.format(items=items).encode())


class Lagging(Effect):
    """DescribeInstances answers each question as it did when it was first asked: states, tags and all."""

    def __init__(self) -> None:
        self._old: dict[bytes, Answer] = {}

    def outward(self, passage: Passage, answer: Answer) -> Answer:
        return self._old.setdefault(passage.call.raw, answer)


def still_pending(answer: Answer) -> Answer:
    """All that runs is still pending."""
    return with_body(answer, _RUNNING.sub(_PENDING, answer.body.decode()).encode())
