"""The stack: whether it is there and healthy."""

from collections.abc import Iterator

from deploy.doctor.finding import Finding, failure, ok, warning
from deploy.fleet import FleetStack


def look_at_stack(stack: FleetStack) -> Iterator[Finding]:
    """The stack's state and that of its resources; a failure means that there are no parts to look at."""
    if stack.problem:
        state, _, remedy = stack.problem.partition(": ")
        yield failure("stack", f"{state} {stack.reason}".strip(), remedy)
        return
    seen = f"{stack.name} is in {stack.status}"
    if stack.status.endswith("_IN_PROGRESS"):
        yield warning("stack", f"{seen}: it is being changed", "wait for it, then run the doctor again")
    elif stack.status == "UPDATE_ROLLBACK_COMPLETE":
        yield warning(
            "stack",
            f"{seen}: its last update failed and was undone. {stack.reason}".strip(),
            "run `scribefleet deploy` again; it shows what failed",
        )
    elif "FAILED" in stack.status:
        yield failure("stack", f"{seen}. {stack.reason}".strip(), "continue the rollback in the CloudFormation console")
    else:
        yield ok("stack", f"{seen}, {len(stack.resources)} resources")
    broken = [resource.logical_id for resource in stack.resources if resource.status.endswith("_FAILED")]
    if broken:
        yield failure("stack", f"resources have failed: {', '.join(broken)}", "run `scribefleet deploy` again")
