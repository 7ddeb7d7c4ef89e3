"""The examination of a deployed fleet: all checks, in the order in which a person wants to read them."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from deploy.clients import OperatorClients
from deploy.doctor import access, alarms, budget, data, functions, instances, queues, quota, stack, workers
from deploy.doctor.examination import Check, ExaminedFleet, examine, not_seen, permissions
from deploy.doctor.finding import Finding, failure, is_healthy, unknown
from deploy.fleet import FleetNotFoundError, find_fleet
from shared.clock import Clock
from shared.errors import AWS_ERRORS

CHECKS: Final[Sequence[Check[ExaminedFleet]]] = (
    Check("bucket", data.look_at_bucket),
    Check("public access", data.look_at_public_access),
    Check("encryption", data.look_at_encryption),
    Check("lock", data.look_at_lock),
    Check("ledger", data.look_at_table),
    Check("queues", queues.look_at_job_queues),
    Check("dead letters", queues.look_at_dead_letters),
    Check("functions", functions.look_at_functions),
    Check("errors", functions.look_at_errors),
    Check("schedules", functions.look_at_schedules),
    Check("ticks", functions.look_at_ticks),
    Check("instances", instances.look_at_instances),
    Check("workers", workers.look_at_workers),
    Check("quota", quota.look_at_quota),
    Check("budget", budget.look_at_budget),
    Check("alarms", alarms.look_at_alarms),
)


def examine_fleet(clients: OperatorClients, name: str, clock: Clock) -> list[Finding]:
    """Look at the fleet whose stack is called `name`. Only reads; whatever cannot be read is a finding itself."""
    found = list(access.look_at_access(clients.sts, clock))
    if not is_healthy(found):
        return [*found, _rest("credentials that AWS takes")]
    try:
        described = find_fleet(clients.cloudformation, name)
        found += stack.look_at_stack(described)
        fleet = ExaminedFleet(clients, described, described.settings(), clock)
    except FleetNotFoundError as error:
        reported = [] if not is_healthy(found) else [failure("stack", *_halves(str(error)))]
        return [*found, *reported, _rest("a stack that is there")]
    except AWS_ERRORS as error:
        found.append(not_seen("stack", error))
        return [*found, *permissions(found), _rest("the stack")]
    found += examine(CHECKS, fleet)
    return list(chain(found, permissions(found)))


def _halves(text: str) -> tuple[str, str]:
    """What is wrong and what to do, as `deploy.fleet` puts them into one line."""
    seen, _, remedy = text.partition(": ")
    return seen, remedy or "see above"


def _rest(needed: str) -> Finding:
    return unknown("everything else", f"needs {needed}", "mend what is above, then run the doctor again")
