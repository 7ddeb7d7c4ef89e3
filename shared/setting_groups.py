"""Groups of settings, each a class of its own: the model's, the worker's, and those of the autoscaler and costs."""

from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "SCRIBEFLEET_"
CONFIG = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)


class ModelSettings(BaseSettings):
    """What the speech model needs; all of it has defaults, so the model's commands run without a fleet."""

    model_config = CONFIG

    model: str = Field(default="small.en", min_length=1, description="Name of the Whisper model.")
    model_dir: Path | None = Field(
        default=None,
        description="Local directory with the model in CTranslate2 format; nothing is ever downloaded.",
    )
    model_store: Path = Field(
        default=Path("~/.cache/scribefleet/models"),
        description="Directory with a folder for each model, where `model fetch` puts them and workers look.",
    )
    models_kept: int = Field(
        default=2,
        ge=2,
        le=16,
        description="Models kept in memory: the fleet's own, and others that jobs have asked for.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where the model runs.")
    compute_type: str = Field(
        default="default",
        description="CTranslate2 compute type; `default` is float16 on a GPU and int8 on a CPU.",
    )
    parallel_windows: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Windows transcribed at the same time; 0 is one for each core on the CPU and one on a GPU.",
    )
    cpu_threads: int = Field(
        default=0, ge=0, le=256, description="Threads for each window on the CPU; 0 shares the cores out evenly."
    )
    language: str = Field(default="en", min_length=2, max_length=3, description="Language of the recordings (ISO 639).")
    beam_size: int = Field(default=5, ge=1, le=20, description="Beams of the decoder.")
    vad_min_silence_ms: int = Field(
        default=500, ge=0, le=60_000, description="Milliseconds of silence that end a stretch of speech."
    )
    batch_windows: int = Field(
        default=1,
        ge=1,
        le=32,
        description="Windows decoded in one call of the model; more is faster on a GPU and less accurate.",
    )
    window_limit_seconds: float = Field(
        default=120,
        gt=0,
        le=3600,
        description="Seconds that one window may take the model before it is tried once more at lower cost.",
    )


class WorkerSettings(BaseSettings):
    """How a worker takes jobs, how it puts them into windows, and when it gives up."""

    model_config = CONFIG

    # --- queue
    long_poll_seconds: int = Field(
        default=20, ge=0, le=20, description="Seconds that one empty poll of the queue waits."
    )
    max_empty_polls: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Consecutive empty polls after which a worker stops its instance.",
    )
    receive_max_jobs: int = Field(default=10, ge=1, le=10, description="Most jobs a worker takes with one poll.")
    max_jobs_in_hand: int = Field(
        default=36,
        ge=1,
        le=1000,
        description="Most jobs a worker holds at a time; fewer where they could not be done within half a lease.",
    )
    io_threads: int = Field(
        default=8, ge=2, le=64, description="Threads that fetch and decode audio and publish transcripts."
    )
    audio_cache_mb: int = Field(
        default=32, ge=1, le=65_536, description="Megabytes of chunks kept in memory for the gaps beside them."
    )
    visibility_timeout_seconds: int = Field(
        default=120,
        ge=2,
        le=43_200,
        description="Seconds a lease lasts; extended every third of it while the job is in hand.",
    )
    job_deadline_seconds: float = Field(
        default=600,
        gt=0,
        le=43_200,
        description="Seconds one job may take before its worker counts as hung and ends.",
    )
    max_receives: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Receives after which a job that fails again goes to the dead-letter queue.",
    )
    retry_backoff_seconds: float = Field(
        default=30,
        ge=0,
        le=900,
        description="Seconds until a failed job is delivered again; doubled with each receive.",
    )
    retry_attempts: int = Field(default=4, ge=1, le=10, description="Tries of one AWS call in place, 1, 2, 4 s apart.")
    drain_seconds: float = Field(
        default=50,
        ge=0,
        le=3600,
        description="Seconds after SIGTERM in which the job in hand may still finish.",
    )
    heartbeat_seconds: float = Field(default=30, gt=0, le=300, description="Seconds between a worker's heartbeats.")

    # --- windows
    max_audio_seconds: float = Field(
        default=1800,
        gt=0,
        le=14_400,
        description="Seconds of audio in one chunk, at most; a longer one goes to the dead-letter queue.",
    )
    window_seconds: float = Field(
        default=30, ge=1, le=30, description="Seconds of audio that the model is given at once, at most."
    )
    context_seconds: float = Field(
        default=10,
        ge=0,
        le=15,
        description="Seconds of neighbouring audio, at most, that the model hears on either side of a window's gaps.",
    )
    context_min_seconds: float = Field(
        default=2,
        ge=0,
        le=10,
        description="Seconds of context that a window's gaps leave room for on each side where there is audio.",
    )


class AutoscalerSettings(BaseSettings):
    """When instances are started and stopped, and what they may cost."""

    model_config = CONFIG

    max_instances: int = Field(default=1, ge=0, le=1000, description="Most instances that run at the same time.")
    min_instances: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Instances kept running without work, up to `max_instances`; with any, a worker stops its instance "
        "only after an hour without work.",
    )
    start_min_jobs: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Waiting jobs from which the first instance is started; fewer wait for `start_max_wait_seconds`.",
    )
    start_max_wait_seconds: int = Field(
        default=900,
        ge=0,
        le=604_800,
        description="Seconds for which fewer jobs than `start_min_jobs` wait, at most, before an instance is started.",
    )
    start_confirm_reads: int = Field(
        default=2,
        ge=1,
        le=5,
        description="Looks at the queues, a few seconds apart, that must all see waiting work before a start.",
    )
    target_drain_seconds: int = Field(
        default=900, ge=1, le=86_400, description="Seconds in which the backlog should be worked off."
    )
    rtfx: float = Field(
        default=20, gt=0, le=10_000, description="Seconds of audio that one worker transcribes in a second."
    )
    boot_limit_seconds: int = Field(
        default=300,
        ge=1,
        le=7200,
        description="Seconds from an instance's start to its worker's first heartbeat.",
    )
    idle_limit_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="Seconds without work after which the autoscaler stops an owned instance.",
    )
    surplus_limit_seconds: int = Field(
        default=900,
        ge=60,
        le=86_400,
        description="Seconds for which more instances must have been at work than wanted before idle ones of them "
        "are stopped, down to the most that were wanted in that time; the last one is left to `idle_limit_seconds`.",
    )
    silent_limit_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="Seconds without a heartbeat after which a worker counts as gone.",
    )
    stuck_limit_seconds: int = Field(
        default=1800,
        ge=60,
        le=86_400,
        description="Seconds without a finished job after which a busy worker counts as hung; longer than "
        "`job_deadline_seconds`, after which a worker ends by itself.",
    )
    max_run_seconds: int = Field(
        default=43_200,
        ge=600,
        le=604_800,
        description="Seconds after which an owned instance is stopped as soon as it is not busy, and a person is told.",
    )
    daily_gpu_hours: float = Field(
        default=0,
        ge=0,
        le=24_000,
        description="Hours that owned instances may run in a day (UTC); none is started beyond them. 0 is no limit.",
    )
    daily_cost_usd: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="USD that owned instances may cost in a day (UTC); none is started beyond them. 0 is no limit.",
    )
    budget_override_until: AwareDatetime | None = Field(
        default=None,
        description="Time (such as `2026-03-01T18:00Z`) until which the daily budgets are not kept.",
    )
    quiet_hours: str = Field(
        default="",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        description="Time of day (UTC, such as `22:00-06:00`) in which nothing is started; what runs goes on.",
    )
    price_usd_per_hour: float = Field(
        default=0.526,
        ge=0,
        le=1000,
        description="Price of one instance in USD an hour (g4dn.xlarge, us-east-1).",
    )

    @field_validator("budget_override_until", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value  # how a template's parameter says "none"
