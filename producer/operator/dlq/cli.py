"""`scribefleet dlq`: what failed for good, and what is done about it."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from producer.operator.console import begin, counting, say, say_json
from producer.operator.dlq.message import DeadLetter, Filter, filter_of
from producer.operator.dlq.receive import Held, hidden_elsewhere, holding
from producer.operator.dlq.redrive import Redriven, Redriver, by_reason
from shared.aws import clients
from shared.aws.sqs import queue_depth
from shared.clock import Clock, SystemClock
from shared.settings import Settings
from shared.state.ledger import Ledger

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_EXIT_INTERRUPTED: Final = 130
_P = ParamSpec("_P")
_R = TypeVar("_R")


@click.group()
def dlq() -> None:
    """See the dead letters, put them back on their queues, or throw them away.

    SQS has no listing: a look receives the messages, which hides them from other looks while it lasts, and makes them
    visible again at its end, also on Ctrl-C.
    """


def _filters(command: Callable[_P, _R]) -> Callable[_P, _R]:
    for option in (
        click.option("--newer-than", metavar="12h", help="Only those that failed later than this ago."),
        click.option("--older-than", metavar="12h", help="Only those that failed longer ago."),
        click.option("--reason", help="Only those with this reason, such as audio-empty."),
        click.option("--session", help="Only this session's: its id, USER/SESSION, or its path."),
    ):
        command = option(command)
    return command


@dlq.command("list")
@_filters
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Most rows shown; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="Print all of them as one JSON object.")
def list_(*, limit: int, as_json: bool, **filters: str | None) -> None:
    """Count the dead letters by reason, and list them, the newest first.

    Exit codes: 0 seen in full, 1 some could not be seen, 2 wrong use, 130 interrupted.
    """
    wanted = _wanted(**filters)
    settings, sqs, clock = begin(), clients.sqs_client(), SystemClock()
    with _hold(sqs, settings, clock) as held, counting("receiving: dead letters") as show:
        letters, seen = _collect(held, wanted, clock, show)
        hidden = hidden_elsewhere(queue_depth(sqs, settings.dead_letter_queue_url), seen)
    if as_json:
        found = [letter.document() for letter in letters]
        say_json({"total": seen, "hidden": hidden, "byReason": by_reason(letters), "letters": found})
    else:
        shown = letters[: limit or None]
        if shown:
            Console().print(_table(shown))
        say(f"{len(letters):,} dead letters" + (f" of {seen:,}" if len(letters) < seen else ""))
        say(*(f"{count:>8,}  {reason}" for reason, count in by_reason(letters).items()))
        if len(shown) < len(letters):
            say(f"{len(letters) - len(shown):,} more are not shown (--limit 0, --json)")
        if hidden:
            say(f"about {hidden:,} more are hidden now: another look, or a redrive, holds them")
    sys.exit(1 if hidden or not held.complete else 0)


@dlq.command("show")
@click.argument("message_id")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def show_(*, message_id: str, as_json: bool) -> None:
    """Show the dead letter whose id is MESSAGE_ID, or begins with it, in full.

    Exit codes: 0 shown, 1 none or several of that id, 2 wrong use, 130 interrupted.
    """
    settings, sqs, clock = begin(), clients.sqs_client(), SystemClock()
    with _hold(sqs, settings, clock) as held:
        letters = (letter for batch in held.batches() for letter in batch)
        found = [letter for letter in letters if letter.message_id.startswith(message_id)]
    if len(found) != 1:
        say(f"{len(found) or 'no'} dead letters have an id that begins with {message_id}", err=True)
        sys.exit(1)
    letter = found[0]
    if as_json:
        say_json({**letter.document(), "body": letter.body})
        return
    say(*(f"{name:<12}{value}" for name, value in letter.document().items() if value not in {"", 0}))
    say("body", _pretty(letter.body))


@dlq.command()
@_filters
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    default=50,
    show_default=True,
    help="Most messages put back in a second.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be put back.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def redrive(*, rate: float, dry_run: bool, as_json: bool, **filters: str | None) -> None:
    """Put dead letters back on the queues that they came from, with all their attempts again.

    What failed for a reason that has not gone fails again and comes back. Letters that arrive while this runs stay, so
    it comes to an end although workers are at work. Chunks that were cancelled are freed.

    Exit codes: 0 done, 1 some could not be put back, 2 wrong use, 130 interrupted (what was put back stays so).
    """
    wanted = _wanted(**filters)
    settings, sqs, clock = begin(), clients.sqs_client(), SystemClock()
    ledger = Ledger(clients.dynamodb_client(), settings, clock)
    redriver = Redriver(sqs, ledger, settings, clock, rate, _now_at_sqs(sqs, settings, clock))
    with _hold(sqs, settings, clock) as held, counting("putting back: dead letters") as show:
        result = redriver.redrive(held, wanted, show, dry_run=dry_run)
    if as_json:
        say_json(
            {
                "redriven": result.total,
                "queues": result.sent,
                "kept": result.kept,
                "refused": result.refused,
                "onBothQueues": result.undeleted,
                "dryRun": dry_run,
            }
        )
    else:
        say(*_redriven(result, dry_run=dry_run))
    sys.exit(1 if result.refused or result.undeleted or not held.complete else 0)


@dlq.command()
@_filters
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only count what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object; with --yes or --dry-run.")
def purge(*, yes: bool, dry_run: bool, as_json: bool, **filters: str | None) -> None:
    """Delete dead letters for good. Asks first; what arrives after the question stays.

    The chunks stay gaps: the ledger keeps them as failed, and `scribefleet rerun --failed` finds them.

    Exit codes: 0 done, 1 declined, or some could not be deleted, 2 wrong use, 130 interrupted.
    """
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: it goes with --yes or --dry-run")
    wanted = _wanted(**filters)
    settings, sqs, clock = begin(), clients.sqs_client(), SystemClock()
    failed: dict[str, str] = {}
    with _hold(sqs, settings, clock) as held:
        with counting("receiving: dead letters") as show:
            letters, seen = _collect(held, wanted, clock, show)
        if letters and not dry_run:
            if not yes:
                say(*(f"{count:>8,}  {reason}" for reason, count in by_reason(letters).items()))
                click.confirm(f"Delete {len(letters):,} of {seen:,} dead letters for good?", abort=True)
            failed = held.delete(letters)
    deleted = 0 if dry_run else len(letters) - len(failed)
    if as_json:
        counts = {"matching": len(letters), "total": seen, "byReason": by_reason(letters)}
        say_json({"deleted": deleted, **counts, "notDeleted": failed, "dryRun": dry_run})
    elif dry_run:
        say(f"would delete {len(letters):,} of {seen:,} dead letters")
    else:
        say(f"deleted {deleted:,} of {seen:,} dead letters", *(f"NOT deleted: {i}: {c}" for i, c in failed.items()))
    sys.exit(1 if failed or not held.complete else 0)


@contextmanager
def _hold(sqs: "SQSClient", settings: Settings, clock: Clock) -> Iterator[Held]:
    """Hold dead letters; Ctrl-C and SIGTERM give them back and end the command."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    wait = min(1, settings.long_poll_seconds)
    try:
        with holding(sqs, settings.dead_letter_queue_url, clock, long_poll_seconds=wait) as held:
            yield held
    except KeyboardInterrupt:
        say("interrupted: the dead letters that were held are visible again", err=True)
        sys.exit(_EXIT_INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)
    if not held.complete:
        say("SQS lets no more be held at a time: there are more dead letters than these", err=True)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _wanted(**filters: str | None) -> Filter:
    try:
        return filter_of(**filters)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _collect(held: Held, wanted: Filter, clock: Clock, show: Callable[[int], None]) -> tuple[list[DeadLetter], int]:
    """The letters that are wanted, the newest first and without their bodies, and how many there are in all."""
    found, seen, now = [], 0, clock.now()
    for batch in held.batches():
        seen += len(batch)
        # A body can have 256 KB, and there can be ten thousand.
        found += [replace(letter, body="") for letter in batch if wanted.takes(letter, now)]
        show(seen)
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True), seen


def _now_at_sqs(sqs: "SQSClient", settings: Settings, clock: Clock) -> datetime:
    """The time by SQS's clock, which stamps messages: this machine's may be minutes off."""
    answer = sqs.get_queue_attributes(QueueUrl=settings.dead_letter_queue_url, AttributeNames=["QueueArn"])
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    # Whole seconds, cut off: one more, lest what came just now is left.
    return parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=1) if date else clock.now()


def _redriven(result: Redriven, *, dry_run: bool) -> list[str]:
    queues = ", ".join(f"{count:,} to {queue}" for queue, count in result.sent.items()) or "none"
    lines = [f"{'would put back' if dry_run else 'put back'} {queues}; {result.kept:,} others stay"]
    lines += [f"NOT put back: {message_id}: {why}" for message_id, why in result.refused.items()]
    return lines + [f"put back, but here still: {message_id}: {why}" for message_id, why in result.undeleted.items()]


def _table(letters: list[DeadLetter]) -> Table:
    table = Table()
    for column in ("failed (UTC)", "session", "chunk", "reason", "detail", "message"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        cells: tuple[Any, ...] = (
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}",
            letter.session,
            letter.chunk or "-",
            letter.reason,
            letter.detail,
            letter.message_id[:8],
        )
        table.add_row(*(Text(cell) for cell in cells))  # Text: ids may hold what rich would take for markup
    return table


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2)
    except (ValueError, RecursionError):
        return body
