"""The alarms: there, on, and wired to somebody who hears them. They are read by `deploy.alarms`."""

from collections.abc import Iterator, Sequence

from deploy.alarms.reading import ALARM_TYPE, Alarm, Topic, read_alarms
from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, Status, failure, ok, unknown, warning

_SUBSCRIPTIONS = "sns:ListSubscriptionsByTopic"


def look_at_alarms(fleet: ExaminedFleet) -> Iterator[Finding]:
    """The stack's alarms and the topics that they speak to."""
    alarms = read_alarms(fleet.clients.cloudwatch, fleet.clients.sns, fleet.stack)
    yield from alarm_findings([resource.name for resource in fleet.stack.of_type(ALARM_TYPE)], alarms)
    topics = {topic.arn: topic for alarm in alarms for topic in alarm.topics}
    for arn in sorted(topics):
        yield topic_finding(topics[arn])


def alarm_findings(names: Sequence[str], alarms: Sequence[Alarm]) -> Iterator[Finding]:
    """What the alarms themselves tell; `names` are those that the stack made."""
    if not names:
        yield warning("alarms", "the stack has none: nobody is told when something goes wrong", "deploy again")
        return
    gone = sorted(set(names) - {alarm.name for alarm in alarms})
    if gone:
        seen = f"deleted by hand: {', '.join(gone)}"
        yield failure("alarms", seen, "`scribefleet deploy` with another threshold and back makes them again")
    off = [alarm.name for alarm in alarms if not alarm.enabled]
    if off:
        remedy = "aws cloudwatch enable-alarm-actions --alarm-names " + " ".join(off)
        yield failure("alarms", f"switched off: {', '.join(off)}", remedy)
    silent = [alarm.name for alarm in alarms if not alarm.topics]
    if silent:
        yield failure("alarms", f"speak to no topic: {', '.join(silent)}", "deploy again")
    ringing = [alarm.name for alarm in alarms if alarm.state == "ALARM"]
    if ringing:
        yield warning("alarms", f"ringing: {', '.join(ringing)}", "docs/operations.md has a section for each")
    if not (gone or off or silent or ringing):
        waiting = sum(alarm.state == "INSUFFICIENT_DATA" for alarm in alarms)
        yield ok("alarms", f"{len(alarms)}, none rings" + (f", {waiting} wait for data" if waiting else ""))


def topic_finding(topic: Topic) -> Finding:
    """Whether anybody hears what the topic says."""
    if topic.problem and "Authorization" in topic.problem:
        seen = f"{topic.name}: AWS refused {_SUBSCRIPTIONS}"
        return Finding("topic", Status.UNKNOWN, seen, "see permissions", _SUBSCRIPTIONS)
    if topic.problem:
        return unknown("topic", topic.describe(), "`scribefleet alarms test` shows whether it reaches someone")
    if topic.pending:
        seen = f"{topic.name}: {', '.join(topic.pending)} has not confirmed the subscription"
        remedy = "click the link in AWS's mail (look among the spam); if it is older than three days, subscribe again"
        return failure("topic", seen, remedy)
    if not topic.confirmed:
        remedy = f"aws sns subscribe --topic-arn {topic.arn} --protocol email --notification-endpoint YOU@EXAMPLE.ORG"
        return warning("topic", f"{topic.name} has no subscription: alarms reach nobody", remedy)
    return ok("topic", f"{topic.confirmed} confirmed on {topic.name}")
