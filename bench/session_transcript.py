"""Measures what finalising a session of 20,000 chunks takes: processor time and memory, S3 calls included.

Half of the chunk transcripts are live, half batch, in turn, so that each seam is one between two hearings. The cloud is
a process of its own: what it takes counts for nothing.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE, Popen
from typing import Final

from bench.children import PROJECT, MeasurementError, environment, run_python_json
from bench.object_server import ObjectServer, Stored
from bench.report import Bound, Measurement
from bench.scan_child import peak_bytes
from bench.sessions import bench_session, chunk_names
from shared.aws import clients
from shared.clock import SystemClock
from shared.formats.layout import transcript_key
from shared.session.finalise import SessionFinaliser
from shared.settings import Settings

CHUNKS: Final = 20_000
_WORDS: Final = ["and", "so", "the", "speaker", "went", "on", "and", "on", "for", "hours", "about", "it"]
_BUCKET: Final = "bench-recordings"
_MAX_CPU_SECONDS: Final = 20
_MAX_MB: Final = 300
_MB: Final = 1_000_000
_LIMIT_SECONDS: Final = 900
_ANYONE: Final = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "bench")


def measure() -> list[Measurement]:
    """The cost of a long session's transcript.

    Raises:
        MeasurementError: it could not be made, or lacks words.
    """
    with _cloud() as endpoint:
        env = environment(AWS_ENDPOINT_URL=endpoint, **_ANYONE)
        made = run_python_json(["-m", "bench.session_transcript", "finalise"], env, _LIMIT_SECONDS)
    if made["words"] != CHUNKS * len(_WORDS):
        raise MeasurementError(f"the session's transcript has {made['words']} words")
    detail = f"{CHUNKS:,} chunks, {made['words']:,} words, S3 calls included, {made['seconds']:.0f} s with this cloud"
    return [
        Measurement(
            "session transcript: processor time",
            round(made["cpuSeconds"], 2),
            "s",
            Bound("at most", _MAX_CPU_SECONDS),
            detail,
        ),
        Measurement(
            "session transcript: peak memory",
            round(made["peakBytes"] / _MB, 1),
            "MB",
            Bound("at most", _MAX_MB),
            "whole process",
        ),
        Measurement(
            "session transcript: nothing new",
            round(made["againCpuSeconds"], 2),
            "s",
            detail="processor time of a look that finds all up to date",
        ),
    ]


@contextmanager
def _cloud() -> Iterator[str]:
    """URL of a server that has the session."""
    # This interpreter and our own module.
    command = [sys.executable, "-m", "bench.session_transcript", "serve"]
    env = environment(**_ANYONE)
    with Popen(command, cwd=PROJECT, env=env, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as server:  # noqa: S603
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise MeasurementError("the cloud with the session did not start")
            yield line.strip()
        finally:
            server.kill()


def _serve() -> None:
    """Be the cloud: until it is killed, or stdin closes, so that it ends with who started it."""
    session = bench_session("long")
    objects: dict[str, Stored] = {}
    for index, chunk in enumerate(chunk_names(CHUNKS)):
        objects[f"{session}/chunk-{chunk}.webm"] = Stored(b"audio")
        objects[transcript_key(session, chunk)] = Stored(_transcript(live=index % 2 == 0))
    server = ObjectServer(objects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    sys.stdin.read()


def _transcript(*, live: bool) -> bytes:
    step = 5 / len(_WORDS)
    words = [
        {"word": f" {word}", "start": round(n * step, 3), "end": round(n * step + 0.3, 3), "probability": 0.9}
        for n, word in enumerate(_WORDS)
    ]
    text = " ".join(_WORDS)
    segments = [{"text": text, "start": 0, "end": 5, "is_final": True, "words": words}]
    of_batch = {"source": "batch", "duration": 5.0, "model": "small.en", "text": text}
    return json.dumps({"segments": segments} | ({} if live else of_batch)).encode()


def _finalise() -> None:
    settings = Settings.model_fields
    finaliser = SessionFinaliser(
        clients.s3_client(),
        _BUCKET,
        SystemClock(),
        chunk_seconds=float(settings["chunk_seconds"].default),
        threads=int(settings["io_threads"].default),
    )
    session = bench_session("long")
    began, cpu = time.perf_counter(), time.process_time()
    done = finaliser.finalise(session)
    measured = {"seconds": time.perf_counter() - began, "cpuSeconds": time.process_time() - cpu}
    cpu = time.process_time()
    again = finaliser.finalise(session)
    if again.action != "unchanged" or done.transcript is None:
        raise MeasurementError("the second time was not told from the first")
    counted = {"words": done.transcript.word_count, "peakBytes": peak_bytes()}
    sys.stdout.write(json.dumps(measured | counted | {"againCpuSeconds": time.process_time() - cpu}) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["serve", "finalise"])
    {"serve": _serve, "finalise": _finalise}[parser.parse_args().what]()
