"""What is the same for every input: the fleet, and the time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shared.settings import Settings

AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BUCKET: Final = "recordings"
SAMPLES: Final = Path(__file__).parents[3] / "samples" / "two_cities"
SETTINGS: Final = Settings(
    bucket=BUCKET,
    jobs_queue_url="https://sqs.us-east-1.amazonaws.com/1/jobs",
    priority_queue_url="https://sqs.us-east-1.amazonaws.com/1/jobs-priority",
    dead_letter_queue_url="https://sqs.us-east-1.amazonaws.com/1/dead-letter",
    table_name="ledger",
)


class FixedClock:
    """It is always the same moment, and nothing waits."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        return self._moment

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        return None
