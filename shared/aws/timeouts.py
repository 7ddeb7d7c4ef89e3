"""How long each of the fleet's AWS clients waits, and how often it tries: the one place where that is chosen.

Pure values. A client's own tries stay few, because loops of the fleet's stand above them: stacking both multiplies the
time, and a lease or a tick would be over before the error is heard. docs/retries.md is made from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from botocore.config import Config

# More than any setting has threads that call AWS at the same time: a connection beyond the pool is thrown away after
# one use, and its successor pays for another handshake.
_CONNECTIONS: Final = 72
# botocore's standard mode waits up to 1, 2, 4 s between tries, and up to 5 s more where the service asks for it.
_LONGEST_BACKOFF_SECONDS: Final = 20
_MAX_ASKED_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """What one client puts up with.

    Attributes:
        connect_seconds: for one address of the service; a name with several is tried address by address.
        read_seconds: without a byte of the answer. It bounds the silence, not the whole answer.
        attempts: tries in all, the first included.
        why: the reason for these numbers.
        above: what tries again, or goes on without, when this client has given up.
    """

    connect_seconds: float
    read_seconds: float
    attempts: int
    why: str
    above: str

    @property
    def one_try_seconds(self) -> float:
        """The longest that one try can be silent."""
        return self.connect_seconds + self.read_seconds

    @property
    def worst_seconds(self) -> float:
        """The longest that one call can be silent: every try timed out, every wait between them the longest."""
        waits = (min(2.0**done, _LONGEST_BACKOFF_SECONDS) + _MAX_ASKED_SECONDS for done in range(self.attempts - 1))
        return self.attempts * self.one_try_seconds + sum(waits)

    def config(self, *, signature: Literal["s3v4"] | None = None) -> Config:
        """For boto3. Mode and attempts are both named, so that neither the environment nor a profile changes them."""
        return Config(
            signature_version=signature,
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            max_pool_connections=_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
        )


Name = Literal["s3", "sqs", "sqs-poll", "dynamodb", "ec2", "autoscaling", "sns"]

PATIENCE: Final[Mapping[Name, ClientTimeouts]] = {
    "s3": ClientTimeouts(
        connect_seconds=3,
        read_seconds=10,
        attempts=3,
        why="S3 answers within a second or is in trouble; ten seconds of silence will not end by waiting",
        above="a job's calls: four tries 1, 2, 4 s apart, then redelivery; the lock: held until the next look; "
        "a scan: fails, and the next one begins anew",
    ),
    "sqs": ClientTimeouts(
        connect_seconds=3,
        read_seconds=10,
        attempts=2,
        why="a lease is extended every third of it, so an extension that hangs must end within that third",
        above="extending: the next third of the lease; deleting: four tries, then the job comes back and is skipped; "
        "a scan: gives its claims back and fails",
    ),
    "sqs-poll": ClientTimeouts(
        connect_seconds=3,
        read_seconds=30,
        attempts=2,
        why="longer than the longest long poll (20 s), or the messages of that answer are lost until their leases end; "
        "shorter than a lease",
        above="the worker's loop: again after 5 s, for as long as it takes",
    ),
    "dynamodb": ClientTimeouts(
        connect_seconds=2,
        read_seconds=3,
        attempts=2,
        why="the ledger informs and never decides: work must not wait for it",
        above="nothing: a warning, and work goes on; the next heartbeat is another try",
    ),
    "ec2": ClientTimeouts(
        connect_seconds=3,
        read_seconds=12,
        attempts=3,
        why="starting and stopping can take EC2 some seconds; one try fits between a tick's deadline and its end",
        above="the next tick, a minute later, from what is seen then",
    ),
    "autoscaling": ClientTimeouts(
        connect_seconds=3,
        read_seconds=12,
        attempts=3,
        why="as for EC2",
        above="the next tick; a worker's protection: again after 30 s",
    ),
    "sns": ClientTimeouts(
        connect_seconds=2,
        read_seconds=5,
        attempts=2,
        why="a notification is worth a few seconds of a run's end, and no more",
        above="nothing: a warning",
    ),
}
"""By client; `sqs-poll` is the one that receives jobs, `sqs` does everything else with queues."""

OPERATOR: Final = ClientTimeouts(
    connect_seconds=5,
    read_seconds=15,
    attempts=3,
    why="a person waits for the answer: give up soon and say so",
    above="the person",
)
"""For services that only commands of people call."""
