"""Makes samples/two_cities/transcripts anew: each chunk of the restart recording transcribed on its own, as live.

Run it as `python scripts/make_sample_transcripts.py`; it needs the optional dependencies `[local]`. Its result is kept
in the repository, so that sample trees have real transcripts without a model.
"""

from pathlib import Path

from consumer.media.decode import decode
from consumer.model.transcriber import Speech
from consumer.model.whisper import WhisperTranscriber
from shared.clock import SystemClock, iso
from shared.formats.layout import session_path
from shared.formats.transcripts import ChunkTranscript
from shared.setting_groups import ModelSettings

SAMPLES = Path(__file__).parent.parent / "samples" / "two_cities"
USER, SESSION = "alice", "two-cities"


def transcript_of(audio_file: Path, transcriber: WhisperTranscriber, made_at: str) -> ChunkTranscript:
    """The transcript of one chunk file, as a worker would publish it."""
    audio = decode(audio_file.read_bytes(), chunk_seconds=5)
    [heard] = transcriber.transcribe([Speech(audio.samples, "en")], should_abort=lambda: False)
    return ChunkTranscript(
        session_id=SESSION,
        user_id=USER,
        chunk_index=int(audio_file.stem.removeprefix("chunk-")),
        audio_key=f"{session_path(USER, SESSION)}/{audio_file.name}",
        language=heard.language,
        language_probability=heard.language_probability,
        duration=round(audio.seconds, 3),
        model=transcriber.model_name,
        device=transcriber.device,
        segments=heard.segments,
        segment_count=len(heard.segments),
        word_count=sum(len(segment.words) for segment in heard.segments),
        text=" ".join(segment.text for segment in heard.segments),
        uploaded_at=made_at,
        partial_audio=audio.partial,
    )


def main() -> None:
    """Transcribe every chunk and write its transcript."""
    clock = SystemClock()
    transcriber = WhisperTranscriber(ModelSettings(model="tiny.en", device="cpu"), clock)
    made_at = iso(clock.now())
    folder = SAMPLES / "transcripts"
    folder.mkdir(exist_ok=True)
    for audio_file in sorted((SAMPLES / "restart").glob("chunk-*.webm")):
        transcript = transcript_of(audio_file, transcriber, made_at)
        (folder / f"transcription-{audio_file.stem}.json").write_text(transcript.to_json(indent=2) + "\n")
        print(f"{audio_file.name}: {transcript.word_count} words in {transcript.duration} s")


if __name__ == "__main__":
    main()
