"""The Lambda functions, the schedules that invoke them, and whether the autoscaler really ticks."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autoscaler.record_store import RecordStore
from deploy.doctor.examination import ExaminedFleet
from deploy.doctor.finding import Finding, failure, ok, warning
from shared.clock import human_duration
from shared.errors import AWS_ERRORS, error_code

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef

_FUNCTION = "AWS::Lambda::Function"
_RULE = "AWS::Events::Rule"
_RECENT = timedelta(hours=1)
# The autoscaler ticks each minute; the alarm for its silence has the same patience.
_LATE_TICK = timedelta(minutes=5)
# Clocks of two machines differ by seconds.
_FUTURE_TICK = timedelta(minutes=2)


def look_at_functions(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Each function of the stack: usable, not throttled away, without recent errors."""
    resources = fleet.stack.of_type(_FUNCTION)
    if not resources:
        yield failure("functions", "the stack has none", "deploy again")
    for resource in resources:
        try:
            found = fleet.clients.functions.get_function_configuration(FunctionName=resource.name)
        except AWS_ERRORS as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            yield failure("function", f"{resource.name} is gone: deleted by hand", "delete the stack and deploy again")
            continue
        yield configuration_finding(found)
        reserved = fleet.clients.functions.get_function_concurrency(FunctionName=resource.name)
        if reserved.get("ReservedConcurrentExecutions") == 0:
            yield failure(
                "function",
                f"{resource.name} may not run: its reserved concurrency is 0",
                f"aws lambda delete-function-concurrency --function-name {resource.name}, or deploy again",
            )


def configuration_finding(found: "FunctionConfigurationResponseTypeDef") -> Finding:
    """Whether Lambda can run the function as it is configured."""
    name = found["FunctionName"]
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    if state in {"Failed", "Inactive"} or update == "Failed":
        why = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason given"
        return failure("function", f"{name} cannot run: {state}, last update {update}: {why}", "deploy again")
    return ok("function", f"{name} is {state.lower()}, code of {found['LastModified'][:16]}")


def look_at_errors(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Errors of the functions in the last hour, as Lambda counts them."""
    now = fleet.clock.now()
    for resource in fleet.stack.of_type(_FUNCTION):
        answer = fleet.clients.cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": resource.name}],
            StartTime=now - _RECENT,
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )
        errors = round(sum(point["Sum"] for point in answer["Datapoints"]))
        if errors:
            remedy = f"aws logs tail /aws/lambda/{resource.name} --since 1h --filter-pattern ERROR"
            yield warning("errors", f"{resource.name} failed {errors} times in the last hour", remedy)
        else:
            yield ok("errors", f"{resource.name} had none in the last hour")


def look_at_schedules(fleet: ExaminedFleet) -> Iterator[Finding]:
    """Each rule of the stack: on, and aimed at something."""
    for resource in fleet.stack.of_type(_RULE):
        # CloudFormation names a rule on a bus of its own `bus|rule`.
        name = resource.name.rpartition("|")[2]
        rule = fleet.clients.events.describe_rule(Name=name)
        schedule = rule.get("ScheduleExpression", "")
        if rule.get("State") == "DISABLED":
            remedy = f"aws events enable-rule --name {name}, unless someone has stopped it on purpose"
            yield failure("schedule", f"{name} ({schedule}) is off", remedy)
        elif not fleet.clients.events.list_targets_by_rule(Rule=name)["Targets"]:
            yield failure("schedule", f"{name} ({schedule}) invokes nothing", "deploy again")
        else:
            yield ok("schedule", f"{name}: {schedule}")


def look_at_ticks(fleet: ExaminedFleet) -> Iterator[Finding]:
    """When the autoscaler last decided, as its own record says."""
    record = RecordStore(fleet.clients.dynamodb, fleet.settings.table_name).read()
    function = next((r.name for r in fleet.stack.of_type(_FUNCTION) if "autoscaler" in r.name), "the autoscaler")
    yield tick_finding(record.ticked_at, fleet.clock.now(), function)


def tick_finding(ticked_at: datetime | None, now: datetime, function: str) -> Finding:
    """Whether the last tick is recent enough. `function` is the autoscaler's name, for the remedy."""
    remedy = f"see function, errors and schedule; then aws logs tail /aws/lambda/{function} --since 15m"
    if ticked_at is None:
        return failure("ticks", "the autoscaler has never ticked: nothing starts or stops", remedy)
    age = now - ticked_at
    if age < -_FUTURE_TICK:
        ahead = human_duration(-age.total_seconds())
        return warning("ticks", f"the last tick is {ahead} in the future", "see clock: one of the clocks is wrong")
    seen = f"the autoscaler last ticked {human_duration(max(0.0, age.total_seconds()))} ago"
    return failure("ticks", f"{seen}: nothing starts or stops", remedy) if age > _LATE_TICK else ok("ticks", seen)
