"""Every setting of the fleet: read once from the environment at the edge, checked, frozen, handed down.

Variables are the field names in capitals behind `SCRIBEFLEET_`. AWS's own variables (region, profile, endpoint,
metadata service) are boto3's business and have no field here.
"""

from typing import Literal, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from shared.errors import ConfigurationError
from shared.setting_groups import CONFIG, ENV_PREFIX, AutoscalerSettings, ModelSettings, WorkerSettings

# Without work, after which even a worker that may be one of `min_instances` ends: nobody may be there to end it.
_KEPT_SECONDS = 3600


class HostSettings(BaseSettings):
    """What a host's end rests on: whose it is, the lock, the way to stop it.

    Apart from the rest because what ended the worker for good may be any other setting that is wrong.
    """

    model_config = CONFIG

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


class Settings(ModelSettings, AutoscalerSettings, WorkerSettings, HostSettings):
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

    @property
    def empty_polls_before_end(self) -> int:
        """Consecutive empty polls after which a worker stops its instance.

        Where some are kept without work, a worker cannot know whether its own is one of them. The autoscaler ends the
        others; a worker that ended by itself as soon as ever would be started again at once, all day.
        """
        if not self.min_instances:
            return self.max_empty_polls
        return max(self.max_empty_polls, round(_KEPT_SECONDS / max(self.long_poll_seconds, 1)))


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
