"""The moments of a worker's work at which faults strike: each is a call that the worker makes, with a side effect or
right before one. What strikes there is for the faults to say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from shared.formats.layout import METADATA_NAME, REPORTS_PREFIX
from tests.faults.harness.call import Call
from tests.faults.harness.effects import Effect
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.rules import Rule

# A chunk of the first session, for rules about the model: every window that it is in.
CHUNK_5: Final = r"^1/(.*,)?5(,|$)"
# Processes start slowly on a busy machine; on an idle one nothing takes nearly as long.
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A call of a worker's; fields are as a rule's.

    Attributes:
        what: for people, what the worker is about to do then: "… when it is about to {what}".
    """

    on: str
    what: str
    target: str | None = None
    where: Callable[[Call], bool] | None = None

    def strike(self, fleet: Fleet, effect: Effect, *, actor: str = "worker-1", nth: int = 1) -> Rule:
        """Have an effect strike at the n-th such moment of an actor."""
        return fleet.proxy.add(Rule(self.on, effect, actor, self.target, nth=nth, where=self.where))


def _says(field: str, value: str, call: Call) -> bool:
    """Whether an update of the ledger sets a field to a value."""
    said: object = call.body.get("ExpressionAttributeValues", {}).get(f":{field}")
    return said == {"S": value}


def _written(name: str) -> str:
    return rf"/{name.replace('.', '[.]')}$"


START: Final = Moment("dynamodb:UpdateItem", "say that it starts", where=partial(_says, "state", "starting"))
DRAIN: Final = Moment("dynamodb:UpdateItem", "say that it drains", where=partial(_says, "state", "draining"))
RECEIVE: Final = Moment("sqs:ReceiveMessage", "receive jobs", r"-jobs$")
LOOK_UP: Final = Moment("s3:HeadObject", "look whether a job is done already", r"/transcription-chunk-\d+\.json$")
BEGIN: Final = Moment(
    "dynamodb:UpdateItem", "note in the ledger that it begins a job", where=partial(_says, "status", "processing")
)
FETCH: Final = Moment("s3:GetObject", "fetch a chunk's audio", r"/chunk-\d+\.flac$")
HEAR: Final = Moment("model:TranscribeBegin", "transcribe a window")
HEARD: Final = Moment("model:TranscribeEnd", "end transcribing a window")
PUBLISH: Final = Moment("s3:PutObject", "write a chunk's transcript", r"/transcription-chunk-\d+\.json$")
COMPLETE: Final = Moment(
    "dynamodb:UpdateItem", "note in the ledger that a job is done", where=partial(_says, "status", "completed")
)
DELETE: Final = Moment("sqs:DeleteMessage", "delete a job's message", r"-jobs$")
LETTER: Final = Moment("sqs:SendMessage", "put a job on the dead-letter queue", r"-dead-letter$")
SESSION_TEXT: Final = Moment(
    "s3:PutObject", "write the first file of a session's transcript", _written("transcription.txt")
)
SESSION: Final = Moment("s3:PutObject", "write the last file of a session's transcript", _written("transcription.json"))
METADATA: Final = Moment("s3:PutObject", "add to a session's metadata.json", _written(METADATA_NAME))
REPORT: Final = Moment("s3:PutObject", "write its report", rf"^{REPORTS_PREFIX}.*[.]json$")
REPORT_PAGE: Final = Moment("s3:PutObject", "write its report's page", rf"^{REPORTS_PREFIX}.*[.]html$")
STOP: Final = Moment("ec2:StopInstances", "stop its own instance")
