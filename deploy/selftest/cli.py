"""`scribefleet selftest`: shows a self-test while it runs, and its result."""

import json
import signal
import sys
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.text import Text

from autoscaler.result import TickResult
from autoscaler.tick import Autoscaler
from deploy.clients import OperatorClients, aws_clients
from deploy.fleet import DEFAULT_FLEET, FleetNotFoundError, FleetStack, find_fleet
from deploy.selftest.cleaning import Cleaned, Cleaner
from deploy.selftest.run import FleetSelfTest, SelfTestOptions, SelfTestResult, make_parts
from deploy.selftest.session import SAID, TrialSession, new_session
from shared.clock import SystemClock, human_duration
from shared.logs import configure_logging
from shared.settings import Settings
from shared.state.ledger import Ledger
from shared.state.lock import SessionLock

_EXIT_INTERRUPTED: Final = 130
_SCANNER_OUTPUT: Final = "ScannerFunctionName"


@click.command()
@click.option("--fleet", metavar="NAME", default=DEFAULT_FLEET, show_default=True, help="The fleet's stack.")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=1200,
    show_default=True,
    metavar="SECONDS",
    help="How long the transcript may take.",
)
@click.option("--scan", is_flag=True, help="Let the deployed scanner find the gap; it queues all other gaps as well.")
@click.option("--keep", is_flag=True, help="Leave the session in the bucket; --clean removes it later.")
@click.option("--clean", is_flag=True, help="Only remove what earlier self-tests have left.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and what the autoscaler would do now.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object; progress goes to stderr.")
def selftest(*, fleet: str, timeout: int, scan: bool, keep: bool, clean: bool, dry_run: bool, as_json: bool) -> None:
    """Prove a deployed fleet in place: it has to fill a known gap.

    Uploads a session of three chunks, the second without a transcript, under a user id of its own; queues that gap's
    job on the priority queue; waits for the transcript, saying what is happening; compares it with the words that are
    spoken; removes everything again, also on failure and on Ctrl-C. It starts an instance if none runs, which costs
    that instance's minutes. A live session's lock is respected: the test waits like any work.

    Exit codes: 0 passed, 1 failed, 2 wrong use or no such fleet, 130 interrupted.
    """
    if clean and (scan or keep or dry_run):
        raise click.UsageError("--clean goes with --fleet and --json only")
    # What the fleet's own code would log is in what this command says.
    configure_logging("critical")
    clients = aws_clients()
    stack = find_fleet(clients.cloudformation, fleet)
    settings = stack.settings()
    if clean:
        _clean(clients, settings, as_json=as_json)
        return
    options = SelfTestOptions(timeout, scan=scan, keep=keep)
    if dry_run:
        _announce(_intentions(clients, settings, options), as_json=as_json)
        return
    result = _run(clients, stack, settings, options)
    _announce(_summary(result) if as_json else _lines(result, keep=keep), as_json=as_json)
    sys.exit(_EXIT_INTERRUPTED if result.interrupted else 0 if result.passed else 1)


def _run(clients: OperatorClients, stack: FleetStack, settings: Settings, options: SelfTestOptions) -> SelfTestResult:
    clock = SystemClock()
    console = Console(stderr=True)
    began = clock.monotonic()

    def tell(text: str) -> None:
        console.print(Text(f"{human_duration(clock.monotonic() - began):>8}  {text}"), soft_wrap=True)

    parts = make_parts(clients, settings, clock, partial(_plan, settings), partial(_scan, clients, stack))
    # A service manager or a CI job ends this with SIGTERM: clean up as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return FleetSelfTest(parts, options, tell).run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _plan(settings: Settings) -> TickResult:
    """What the autoscaler would do at this moment."""
    return Autoscaler.from_settings(settings, SystemClock(), dry_run=True).tick()


def _scan(clients: OperatorClients, stack: FleetStack) -> None:
    """Invoke the deployed scanner as its schedule does, without waiting for it."""
    function = stack.outputs.get(_SCANNER_OUTPUT)
    if not function:
        raise FleetNotFoundError(f"the stack {stack.name} has no output {_SCANNER_OUTPUT}; run without --scan")
    clients.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"enqueue": true}')


def _clean(clients: OperatorClients, settings: Settings, *, as_json: bool) -> None:
    clock = SystemClock()
    cleaner, ledger = Cleaner(clients, settings), Ledger(clients.dynamodb, settings, clock)
    total, sessions = Cleaned(), 0
    for session in cleaner.leftovers():
        sessions += 1
        jobs = ledger.session_jobs(session.path)
        status = next((str(job.get("status")) for job in jobs.values()), None)
        total += cleaner.clean_leftover(session, status=status, now=clock.now())
    if as_json:
        _announce({"sessions": sessions, "removedObjects": total.removed, "left": total.left}, as_json=True)
    else:
        lines = [f"{sessions} earlier self-tests, {total.removed} objects removed"]
        _announce([*lines, *(f"left: {each}" for each in total.left)], as_json=False)
    sys.exit(1 if total.left else 0)


def _intentions(clients: OperatorClients, settings: Settings, options: SelfTestOptions) -> dict[str, Any]:
    """What a self-test would do now."""
    clock = SystemClock()
    session: TrialSession = new_session(clock.now())
    lock = SessionLock(clients.s3, settings.bucket, clock, timedelta(minutes=settings.lock_stale_minutes))
    plan = _plan(settings)
    queue = settings.jobs_queue_url if options.scan else settings.priority_queue_url
    return {
        "fleet": settings.fleet_name,
        "bucket": settings.bucket,
        "objects": [key for key, _, _ in session.objects()],
        "queue": queue.rsplit("/", 1)[-1],
        "scanAfterSeconds": settings.scan_min_age_seconds if options.scan else None,
        "lock": lock.read().describe() if settings.lock_enabled else "off by setting",
        "autoscalerNow": plan.reason,
        "problems": list(plan.observation.problems),
        "timeoutSeconds": options.timeout_seconds,
    }


def _summary(result: SelfTestResult) -> dict[str, Any]:
    return {
        "passed": result.passed,
        "interrupted": result.interrupted,
        "userId": result.session.user_id,
        "reason": result.reason or None,
        "advice": result.advice or None,
        "seconds": result.seconds,
        "said": " ".join(SAID),
        "heard": result.heard or None,
        "shareHeard": round(result.share, 3),
        "worker": result.worker or None,
        "startedInstance": result.started_instance,
        "costUSD": result.cost_usd,
        "removedObjects": result.cleaned.removed,
        "left": result.cleaned.left,
    }


def _lines(result: SelfTestResult, *, keep: bool) -> list[str]:
    if result.passed and result.seconds is not None:
        lines = [
            f"passed: {result.worker or 'a worker'} heard {result.share:.0%} of the words, "
            f"{human_duration(result.seconds)} after the job was sent",
            f"heard: {result.heard}",
            f"cost: about {result.cost_usd:.4f} USD, the run of the instance that was started for it"
            if result.started_instance
            else "cost: none beyond that of the instance that was running",
        ]
    else:
        lines = [f"{'interrupted' if result.interrupted else f'FAILED: {result.reason}'}"]
        lines += [f"what to do: {result.advice}"] if result.advice else []
    lines.append(f"kept: {result.session.path}" if keep else f"removed {result.cleaned.removed} objects")
    return [*lines, *(f"left: {each}" for each in result.cleaned.left)]


def _announce(what: list[str] | dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(what, indent=2))
        return
    console = Console()
    lines = [f"{name}: {value}" for name, value in what.items()] if isinstance(what, dict) else what
    for line in lines:
        # Text: transcripts and AWS's words may hold what rich would take for markup
        console.print(Text(line), soft_wrap=True)
