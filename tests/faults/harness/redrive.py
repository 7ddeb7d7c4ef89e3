"""An operator puts all dead letters back: the real `scribefleet dlq redrive`."""

from typing import TYPE_CHECKING, Final

from tests.faults.harness.processes import NotInTimeError

if TYPE_CHECKING:
    from tests.faults.harness.fleet import Fleet

OPERATOR: Final = "operator"
_PATIENCE_SECONDS: Final = 120.0


def redrive(fleet: "Fleet") -> None:
    """Put them back and note which chunks they are of: runs may report those as failed once and as filled once.

    Raises:
        NotInTimeError: the command failed, or takes too long.
    """
    back = {(letter.user, letter.session, letter.chunk) for letter in fleet.dead_letters()}
    for session in fleet.sessions:
        session.redriven |= {chunk for chunk in session.chunks if (session.user, session.session, chunk) in back}
    command = fleet.start_command(OPERATOR, "dlq", "redrive")
    if status := command.wait(_PATIENCE_SECONDS):
        raise NotInTimeError(f"scribefleet dlq redrive ended with {status}: {command.log()[-300:]}")
