"""Invariants about what must not stay behind: messages, letters without a reason, half-written objects, processes."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final

from shared.formats.layout import LOCK_KEY, PENDING_JOBS_KEY, REPORTS_PREFIX, parse_key
from tests.faults.harness.evidence import Evidence, is_recorder

_WRITES: Final = frozenset({"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjects", "s3:CopyObject"})
_STOPPED: Final = frozenset({"stopped", "stopping", "terminated", "shutting-down"})


def no_message_is_stuck(evidence: Evidence) -> Iterator[str]:
    """Nothing waits, is in flight or is delayed on any queue."""
    for name, depth in evidence.depths.items():
        if depth.total:
            yield f"{name}: {depth.visible} visible, {depth.in_flight} in flight, {depth.delayed} delayed"


def dead_letters_are_expected(evidence: Evidence) -> Iterator[str]:
    """The dead-letter queue holds what the fault was to bring there, each with its reason, and nothing else."""
    found = Counter(letter.reason for letter in evidence.letters)
    for reason in sorted(found.keys() | evidence.expected_letters.keys()):
        expected = evidence.expected_letters.get(reason, 0)
        if found[reason] != expected:
            yield f"{found[reason]} dead letters with the reason {reason or 'none'}, {expected} expected"


def objects_are_whole(evidence: Evidence) -> Iterator[str]:
    """Every object is of a known kind, all JSON parses, and no report is half there unless its writer was killed.

    What others have put there is not the fleet's to judge, nor to take away.
    """
    for key in sorted(evidence.strays - evidence.objects.keys()):
        yield f"{key}: is gone, and was not the fleet's"
    for key, body in evidence.objects.items():
        if key in evidence.strays:
            continue
        if not _is_known(key):
            yield f"{key}: not a kind of object that the fleet writes"
        elif key.endswith(".json") and key != LOCK_KEY and not _parses(body):
            yield f"{key}: not whole, it does not parse"
        elif key.endswith(".html") and not body.rstrip().endswith(b"</html>"):
            yield f"{key}: not whole, it has no end"
    stems = Counter(key.rpartition(".")[0] for key in evidence.objects if key.startswith(REPORTS_PREFIX))
    for stem, count in stems.items():
        if count == 2 or _writer_was_cut_off(evidence, f"{stem}.json"):
            continue
        yield f"{stem}: has one of JSON and page only"


def _is_known(key: str) -> bool:
    report = key.startswith(f"{REPORTS_PREFIX}batch-") and key.endswith((".json", ".html"))
    return report or key in {LOCK_KEY, PENDING_JOBS_KEY} or parse_key(key) is not None


def _parses(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _writer_was_cut_off(evidence: Evidence, report: str) -> bool:
    """Whether who wrote a report was killed, or could not write its second half for the fault that was injected."""
    puts = list(evidence.by_fleet("s3:PutObject"))
    writers = {put.call.actor for put in puts if put.call.target == report and put.effective}
    page = f"{report.removesuffix('.json')}.html"
    refused = any(put.call.target == page and put.faults for put in puts)
    return refused or any(end.status for end in evidence.exits if end.actor in writers)


def only_recorders_touch_recordings(evidence: Evidence) -> Iterator[str]:
    """No part of the fleet writes or deletes audio, writes the lock, or deletes anything at all."""
    for entry in evidence.journal:
        call = entry.call
        if call.on not in _WRITES or not entry.effective or is_recorder(call.actor):
            continue
        key = parse_key(call.target)
        if call.target == LOCK_KEY:
            yield f"{call.actor} changed the lock ({call.on})"
        elif call.on != "s3:PutObject":
            yield f"{call.actor} deleted or copied {call.target}"
        elif key is not None and key.audio_chunk is not None:
            yield f"{call.actor} wrote over {call.target}"


def nothing_runs_on(evidence: Evidence) -> Iterator[str]:
    """No process is left, and no instance of the fleet's runs longer than its bound."""
    for process in evidence.left_alive:
        yield f"{process} did not end when it was asked to"
    for host in evidence.hosts:
        if host.owned and host.state not in _STOPPED and host.idle_seconds > host.bound_seconds:
            yield f"{host.instance_id} is {host.state} after {host.idle_seconds:.0f} s without work"
