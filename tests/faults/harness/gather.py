"""Reads everything that invariants judge from a fleet that has come to rest, past the proxy, once."""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from shared.aws.sqs import queue_depth
from shared.formats.layout import AUDIO_EXTENSIONS, session_path
from shared.state.instances import owned_since, tags_of
from tests.faults.harness.evidence import Chunk, Evidence, Exit, Host, Letter
from tests.faults.harness.fleet import Fleet

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_READERS: Final = 4
_AUDIO: Final = frozenset(f".{extension}" for extension in AUDIO_EXTENSIONS)
# Of these a log is for machines. What a command says is for people.
_EVENT_LOGS: Final = ("worker", "autoscaler")


def gather(
    fleet: Fleet,
    *,
    expected_letters: Mapping[str, int],
    left_alive: Collection[str] = (),
    idle_seconds: float = 0.0,
    idle_bound_seconds: float = 0.0,
) -> Evidence:
    """The evidence of a fleet whose workers have ended.

    Args:
        left_alive: processes that did not end when they were asked to.
        idle_seconds: since when there has been nothing to do.
        idle_bound_seconds: how long an instance of the fleet's may run on then.

    Raises what boto3 raises.
    """
    settings, cloud = fleet.settings, fleet.cloud
    urls = (settings.jobs_queue_url, settings.priority_queue_url)
    return Evidence(
        chunks=tuple(_chunks(fleet)),
        objects=read_objects(cloud.s3, settings.bucket),
        depths={url.rpartition("/")[2]: queue_depth(cloud.sqs, url) for url in urls},
        letters=tuple(_letters(fleet)),
        journal=tuple(fleet.proxy.journal.calls()),
        logs={
            file.stem: file.read_text(errors="replace")
            for file in sorted(fleet.logs.glob("*.log"))
            if file.stem.startswith(_EVENT_LOGS)
        },
        exits=tuple(Exit(actor, status) for actor, status in fleet.exits),
        hosts=tuple(_hosts(fleet, idle_seconds, idle_bound_seconds)),
        holds=fleet.holds,
        left_alive=tuple(left_alive),
        expected_letters=expected_letters,
        strays=frozenset(fleet.recordings.strays),
    )


def _chunks(fleet: Fleet) -> Iterator[Chunk]:
    for session in fleet.sessions:
        for chunk in session.chunks:
            yield Chunk(
                session.path,
                chunk,
                session.words(chunk),
                live=chunk in session.live,
                forced=chunk in session.forced,
                redriven=chunk in session.redriven,
            )


def read_objects(s3: "S3Client", bucket: str) -> dict[str, bytes]:
    """Every object of the bucket by key; of audio an empty body, which nobody looks into. Raises what boto3 raises."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [listed["Key"] for page in pages for listed in page.get("Contents", ())]

    def read(key: str) -> bytes:
        if PurePosixPath(key).suffix in _AUDIO:
            return b""
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(keys, pool.map(read, keys), strict=True))


def _letters(fleet: Fleet) -> Iterator[Letter]:
    for letter in fleet.dead_letters():
        session = session_path(letter.user, letter.session) if letter.session else ""
        yield Letter(session, letter.chunk, letter.reason)


def _hosts(fleet: Fleet, idle_seconds: float, bound_seconds: float) -> Iterator[Host]:
    for group in fleet.cloud.ec2.describe_instances()["Reservations"]:
        for instance in group["Instances"]:
            owned = owned_since(tags_of(instance.get("Tags", [])), instance["LaunchTime"]) is not None
            state = instance["State"]["Name"]
            yield Host(
                instance["InstanceId"], state, owned=owned, idle_seconds=idle_seconds, bound_seconds=bound_seconds
            )
