"""All targets, in the order of the table: the five of which the issue asks for 100,000 inputs each come first."""

from typing import Final

from tests.faults.fuzz.target import Target
from tests.faults.fuzz.targets import (
    containers,
    decoder,
    keys,
    ledger,
    letters,
    lock,
    messages,
    metadata,
    reports,
    transcripts,
    webm,
)

TARGETS: Final[tuple[Target, ...]] = (
    *(messages.TARGET, keys.TARGET, lock.TARGET, metadata.TARGET, webm.TARGET),
    *(containers.TARGET, decoder.TARGET, transcripts.TARGET, ledger.TARGET, letters.TARGET, reports.TARGET),
)
