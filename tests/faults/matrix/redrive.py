"""Dead letters are put back by an operator when what was wrong is right again; answers are lost on the way."""

from typing import Final

from tests.faults.harness.effects import Order, Reset
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.redrive import OPERATOR, redrive
from tests.faults.harness.rules import Rule
from tests.faults.harness.scenario import Broken, Fault
from tests.faults.matrix.baseline import two_sessions
from tests.faults.matrix.moments import CHUNK_5, HEAR, PATIENCE_SECONDS
from tests.faults.matrix.queue import every_worker_dies


def _put_back_with_lost_answers(fleet: Fleet) -> None:
    """SQS takes what the operator sends and its answer is lost, so that it is sent again."""
    two_sessions(fleet)
    fleet.proxy.add(Rule(HEAR.on, Order("window"), target=CHUNK_5))
    fleet.start_workers()
    _letters(fleet, ["attempts-exhausted"])
    fleet.proxy.clear()
    lost = fleet.proxy.add(Rule("sqs:SendMessageBatch", Reset(after=True), actor=OPERATOR, nth=1))
    redrive(fleet)
    if not lost.struck:
        raise Broken("the operator's answer was never lost")


def _put_back_what_sqs_moved(fleet: Fleet) -> None:
    """No worker knows of such a letter, nor does the ledger; the session's transcript lacks the chunk till then."""
    every_worker_dies(fleet)
    _letters(fleet, ["unknown"])
    redrive(fleet)


def _letters(fleet: Fleet, reasons: list[str]) -> None:
    fleet.settled(PATIENCE_SECONDS)
    found = [letter.reason for letter in fleet.dead_letters()]
    if found != reasons:
        raise Broken(f"the dead letters were {found}, not {reasons}")


FAULTS: Final = (
    Fault(
        name="redrive-answer-lost",
        group="redrive",
        what="A chunk fails until it is a dead letter; an operator puts it back, and SQS's answer to that is lost.",
        script=_put_back_with_lost_answers,
        settings={"max_receives": 2},
    ),
    Fault(
        name="redrive-what-sqs-moved",
        group="redrive",
        what="A chunk kills every worker until SQS itself makes it a dead letter; an operator puts it back.",
        script=_put_back_what_sqs_moved,
        settings={"visibility_timeout_seconds": 2},
    ),
)
