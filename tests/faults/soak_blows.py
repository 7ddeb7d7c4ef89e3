"""The kinds of things that go wrong in a soak: rules for calls by their names, and the names of deeds.

Values only; `soak_plan` draws among them, and `soak_course` deals them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from shared.formats.layout import LOCK_KEY
from tests.faults.harness.answers import queue_counts
from tests.faults.harness.call import Call
from tests.faults.harness.evidence import is_recorder
from tests.faults.harness.rules import (
    CONFLICT,
    EC2_THROTTLED,
    EXPIRED_TOKEN,
    INTERNAL,
    NO_CAPACITY,
    SLOW_DOWN,
    SQS_THROTTLED,
    THROTTLED,
    UNAVAILABLE,
    Delay,
    DeliverTwice,
    Effect,
    Hang,
    Kill,
    Order,
    Reorder,
    Reset,
    Rewrite,
    Rule,
    StaleReceipt,
    Swallow,
    Truncate,
    Twice,
)
from tests.faults.matrix import moments
from tests.faults.matrix.moments import Moment

_RECORDINGS: Final = "^users/"
# Longer than any client of the fleet waits.
_FOR_EVER: Final = 60.0

DEEDS: Final = (
    "kill",
    "terminate",
    "terminate-twice",
    "pause",
    "spot-notice",
    "metadata-away",
    "live-session",
    "no-ticks",
    "second-tick",
    "second-scan",
    "kill-scan",
)
"""What is done to processes, hosts and the lock."""

MakeRule = Callable[[str, float], Rule]


def _s3(effect: Effect, probability: float) -> Rule:
    """Strikes all calls to S3 but a recorder's, which is no part of the fleet."""
    return Rule("s3:*", effect, probability=probability, where=_by_fleet)


def _by_fleet(call: Call) -> bool:
    return not is_recorder(call.actor)


def _kills(moment: Moment, *, before: bool) -> MakeRule:
    """Kills a worker at its next such moment, before or after the cloud has carried its call out."""
    return lambda actor, _: Rule(moment.on, Kill(before=before), actor, moment.target, times=1, where=moment.where)


def _orders(what: Order, times: int = 1) -> MakeRule:
    """Has a worker's model do something with its next windows."""
    return lambda actor, _: Rule("model:TranscribeBegin", what, actor, times=times)


RULES: Final[Mapping[str, MakeRule]] = {
    "s3-slow-down": lambda _, share: _s3(SLOW_DOWN, share),
    "s3-internal-error": lambda _, share: _s3(INTERNAL, share),
    "s3-away": lambda *_: _s3(UNAVAILABLE, 1.0),
    "s3-delay": lambda _, share: _s3(Delay(2 * share), 0.5),
    "s3-reset": lambda _, share: _s3(Reset(), share),
    "s3-hangs": lambda _, share: _s3(Hang(_FOR_EVER), share / 8),
    "credentials-expired": lambda actor, share: Rule("s3:*", EXPIRED_TOKEN, actor, probability=share),
    "s3-answer-lost": lambda _, share: Rule("s3:PutObject", Reset(after=True), target=_RECORDINGS, probability=share),
    "s3-put-twice": lambda _, share: Rule("s3:PutObject", Twice("last"), target=_RECORDINGS, probability=share),
    "s3-conflict": lambda _, share: Rule("s3:PutObject", CONFLICT, target=_RECORDINGS, probability=share),
    "s3-truncated": lambda _, share: Rule("s3:GetObject", Truncate(200), target=_RECORDINGS, probability=share),
    "s3-reorder": lambda _, share: Rule("s3:PutObject", Reorder(), target=_RECORDINGS, probability=share),
    "lock-unreadable": lambda actor, share: Rule("s3:GetObject", INTERNAL, actor, LOCK_KEY, probability=share),
    "sqs-throttled": lambda actor, share: Rule("sqs:*", SQS_THROTTLED, actor, probability=share),
    "sqs-away": lambda *_: Rule("sqs:*", UNAVAILABLE),
    "sqs-reset": lambda actor, share: Rule("sqs:*", Reset(), actor, probability=share),
    "sqs-answer-lost": lambda actor, share: Rule("sqs:*", Reset(after=True), actor, probability=share),
    "sqs-delay": lambda actor, share: Rule("sqs:*", Delay(2 * share), actor, probability=0.5),
    "sqs-hangs": lambda actor, share: Rule("sqs:*", Hang(_FOR_EVER), actor, probability=share / 4),
    "delivered-twice": lambda actor, share: Rule("sqs:ReceiveMessage", DeliverTwice(), actor, probability=share),
    "stale-receipt": lambda actor, share: Rule("sqs:DeleteMessage*", StaleReceipt(), actor, probability=share),
    "counts-lag": lambda *_: Rule("sqs:GetQueueAttributes", Rewrite(queue_counts(0, 0, 0)), "autoscaler"),
    "counts-spike": lambda *_: Rule("sqs:GetQueueAttributes", Rewrite(queue_counts(visible=900)), "autoscaler"),
    "ledger-away": lambda *_: Rule("dynamodb:*", INTERNAL),
    "ledger-throttled": lambda _, share: Rule("dynamodb:*", THROTTLED, probability=share),
    "ledger-hangs": lambda _, share: Rule("dynamodb:*", Hang(_FOR_EVER), probability=share / 4),
    "ec2-throttled": lambda _, share: Rule("ec2:*", EC2_THROTTLED, probability=share),
    "start-refused": lambda *_: Rule("ec2:StartInstances", NO_CAPACITY),
    "stop-ignored": lambda _, share: Rule("ec2:StopInstances", Swallow(), probability=share),
    "model-hangs": _orders(Order("hang")),
    "model-crashes": _orders(Order("crash")),
    "model-out-of-memory": _orders(Order("memory")),
    "model-broken": _orders(Order("broken")),
    "window-fails": _orders(Order("window"), times=2),
    "kill-after-receive": _kills(moments.RECEIVE, before=False),
    "kill-after-fetch": _kills(moments.FETCH, before=False),
    "kill-in-mid-work": _kills(moments.HEAR, before=True),
    "kill-before-write": _kills(moments.PUBLISH, before=True),
    "kill-after-write": _kills(moments.PUBLISH, before=False),
    "kill-before-delete": _kills(moments.DELETE, before=True),
    "kill-after-delete": _kills(moments.DELETE, before=False),
    "kill-in-session-transcript": _kills(moments.SESSION_TEXT, before=False),
    "kill-after-session-transcript": _kills(moments.SESSION, before=False),
    "kill-in-report": _kills(moments.REPORT, before=False),
    "kill-before-stop": _kills(moments.STOP, before=True),
    "kill-after-stop": _kills(moments.STOP, before=False),
}
"""Kind -> the rule for an actor and a share of the calls."""
