"""The process that transcribes without scribefleet: one model, one file after the other, as a plain script would do it.

It is the yardstick for words and for speed, with the fleet's settings for the model. Reads the paths of the files
from the command line; writes one JSON object to stdout: `{loadSeconds, seconds, audioSeconds, passes, files:
[{text, words: [[start, end, word]]}]}`. `passes` counts how often the model encoded its 30 seconds.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from faster_whisper import WhisperModel

from shared.settings import Settings

COMPUTE_TYPE = "int8"


def _transcribe(model: WhisperModel, path: str) -> tuple[float, dict[str, Any]]:
    """Seconds of audio, and what is said in it. The settings are those of the worker, as far as there are any."""
    fields = Settings.model_fields
    segments, info = model.transcribe(
        path,
        language="en",
        beam_size=int(fields["beam_size"].default),
        vad_filter=True,
        vad_parameters={"min_silence_duration_ms": int(fields["vad_min_silence_ms"].default)},
        condition_on_previous_text=False,
        word_timestamps=True,
    )
    words = [[word.start, word.end, word.word] for segment in segments for word in segment.words or ()]
    return info.duration, {"text": "".join(word for _, _, word in words).strip(), "words": words}


def _counting(model: WhisperModel) -> list[int]:
    """Makes the model count its passes through the encoder, in the list's one element."""
    passes = [0]
    encode = model.encode

    def counted(features: Any) -> Any:
        passes[0] += 1
        return encode(features)

    model.encode = counted
    return passes


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="the model's directory")
    parser.add_argument("files", type=Path, nargs="+", help="directories of files, or files")
    options = parser.parse_args()
    paths = [path for given in options.files for path in (sorted(given.iterdir()) if given.is_dir() else [given])]
    began = time.perf_counter()
    model = WhisperModel(options.model, device="cpu", compute_type=COMPUTE_TYPE, local_files_only=True)
    loaded = time.perf_counter()
    passes = _counting(model)
    results = [_transcribe(model, str(path)) for path in paths]
    answer = {
        "loadSeconds": loaded - began,
        "seconds": time.perf_counter() - loaded,
        "audioSeconds": sum(seconds for seconds, _ in results),
        "passes": passes[0],
        "files": [result for _, result in results],
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
