"""Every setting of the fleet: read once from the environment at the edge, checked, frozen, handed down.

Variables are the field names in capitals behind `SCRIBEFLEET_`. AWS's own variables (region, profile, endpoint,
metadata service) are boto3's business and have no field here.
"""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import AwareDatetime, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError

ENV_PREFIX = "SCRIBEFLEET_"
# Without work, after which even a worker that may be one of `min_instances` ends: nobody may be there to end it.
_KEPT_SECONDS = 3600

_CONFIG = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)


class ModelSettings(BaseSettings):
    """What the speech model needs; all of it has defaults, so the model's commands run without a fleet."""

    model_config = _CONFIG

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


class HostSettings(BaseSettings):
    """What a host's end rests on: whose it is, the lock, the way to stop it.

    Apart from the rest because what ended the worker for good may be any other setting that is wrong.
    """

    model_config = _CONFIG

    bucket: str = Field(min_length=3, description="Name of the S3 bucket that holds the recordings.")

    # --- logging
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe log event that is written."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`json` for machines, `console` for people, `auto` by whether stderr is a terminal.",
    )

    # --- lock
    lock_enabled: bool = Field(
        default=True, description="Whether live sessions share the GPU and their lock is respected."
    )
    lock_stale_minutes: int = Field(
        default=30,
        ge=1,
        le=1440,
        description="Minutes after which a holder that was not refreshed counts as gone.",
    )
    lock_poll_seconds: float = Field(
        default=10, gt=0, le=300, description="Seconds between two looks at a held lock by a waiting worker."
    )

    # --- capacity
    capacity_provider: Literal["pool", "asg"] = Field(
        default="pool",
        description="Where instances come from: `pool`, those with the fleet's tag that can be stopped and started "
        "again, or `asg`, the Auto Scaling group that `auto_scaling_group` names.",
    )
    auto_scaling_group: str = Field(
        default="",
        max_length=255,
        validate_default=True,
        description="Name of the Auto Scaling group whose members are the workers; used with the provider `asg`.",
    )
    power_off_command: str = Field(
        default="",
        description="Command that powers the host off when StopInstances is refused, such as "
        "`/usr/bin/touch /run/scribefleet/power-off` with the services of docs/gpu-host.md.",
    )

    @field_validator("auto_scaling_group")
    @classmethod
    def _named_where_used(cls, value: str, others: ValidationInfo) -> str:
        if others.data.get("capacity_provider") == "asg" and not value:
            raise ValueError("the capacity provider `asg` needs a group")
        return value


class Settings(HostSettings, ModelSettings):
    """One fleet's settings. Build it with `load_settings`, which turns what is wrong into one readable line each."""

    # --- where things are
    jobs_queue_url: str = Field(min_length=1, description="URL of the SQS queue for jobs that scans find.")
    priority_queue_url: str = Field(
        min_length=1, description="URL of the SQS queue for jobs that someone waits for; polled first."
    )
    dead_letter_queue_url: str = Field(min_length=1, description="URL of the SQS dead-letter queue of both job queues.")
    table_name: str = Field(min_length=3, description="Name of the DynamoDB table that is the ledger.")
    fleet_name: str = Field(
        default="scribefleet",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$",
        description="Value of the tag `scribefleet:fleet` on the instances of the pool.",
    )

    # --- notifications
    notify_topic_arn: str = Field(
        default="",
        pattern=r"^(arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?$",
        description="ARN of the SNS topic that is told of runs, sessions and dead letters; empty tells nobody.",
    )

    # --- scanner
    chunk_seconds: float = Field(
        default=5, gt=0, le=600, description="Seconds of audio that the recorder puts into a chunk."
    )
    scan_min_age_seconds: int = Field(
        default=120,
        ge=0,
        le=86_400,
        description="Seconds for which a new chunk is left to the live transcriber before it counts as a gap.",
    )
    scan_order: Literal["oldest", "newest"] = Field(
        default="oldest", description="Which sessions' gaps are queued first."
    )
    scan_finalise_seconds: int = Field(
        default=120,
        ge=0,
        le=900,
        description="Seconds for which the scanner's Lambda, when it has queued the gaps, makes the transcripts of "
        "sessions that are over and lack them; `scribefleet scan --enqueue` takes as long as it takes. 0 makes none.",
    )
    scan_threads: int = Field(default=8, ge=1, le=64, description="User prefixes listed at the same time.")
    queue_retention_seconds: int = Field(
        default=604_800,
        ge=60,
        le=1_209_600,
        description="Seconds that a message stays on the job queues; the ledger lets a gap be queued again after that.",
    )
    failed_retention_seconds: int = Field(
        default=1_209_600,
        ge=0,
        le=31_536_000,
        description="Seconds for which scans leave a chunk alone after its job went to the dead-letter queue.",
    )

    # --- worker: queue
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

    # --- worker: windows
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

    # --- autoscaler and costs
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
    real_time_factor: float = Field(
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

    @property
    def empty_polls_before_end(self) -> int:
        """Consecutive empty polls after which a worker stops its instance.

        Where some are kept without work, a worker cannot know whether its own is one of them. The autoscaler ends the
        others; a worker that ended by itself as soon as ever would be started again at once, all day.
        """
        if not self.min_instances:
            return self.max_empty_polls
        return max(self.max_empty_polls, round(_KEPT_SECONDS / max(self.long_poll_seconds, 1)))

    @field_validator("budget_override_until", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value  # how a template's parameter says "none"


_Kind = TypeVar("_Kind", bound=BaseSettings)


def load_settings() -> Settings:
    """The settings from the environment.

    Raises:
        ConfigurationError: one line for each variable that is missing or wrong, with what it takes.
    """
    return _load(Settings)


def load_model_settings() -> ModelSettings:
    """The model's settings alone, for commands that need no fleet; it raises as `load_settings` does."""
    return _load(ModelSettings)


def load_host_settings() -> HostSettings:
    """The host's settings alone; it raises as `load_settings` does."""
    return _load(HostSettings)


def _load(kind: type[_Kind]) -> _Kind:
    try:
        return kind()
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(error))) from None


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        variable = (ENV_PREFIX + name).upper()
        takes = Settings.model_fields[name].description or ""
        what = "is not set" if problem["type"] == "missing" else f"is wrong ({problem['msg']})"
        lines.append(f"{variable} {what}. It takes: {takes}")
    return lines
