"""The page about retries says what the clients do."""

import re
from pathlib import Path
from typing import Final

import retries_table
from botocore.retries.standard import RetryQuotaChecker

from autoscaler.deadline import TICK_SECONDS
from shared.aws.timeouts import PATIENCE
from shared.state.ledger import _REST_SECONDS

PAGE: Final = Path(__file__).parents[2] / "docs" / "retries.md"


def test_the_table_of_clients_is_up_to_date() -> None:
    assert retries_table.PAGE.read_text() == retries_table.page(), "run python scripts/retries_table.py"


def test_every_number_of_the_text_is_the_codes() -> None:
    text = " ".join(PAGE.read_text().split())
    costs = vars(RetryQuotaChecker)  # which its types do not name
    numbers = {
        r"from (\d+) s on no further try": TICK_SECONDS,
        r"left alone for (\d+) s": _REST_SECONDS,
        r"keeps up to (\d+) connections": vars(PATIENCE["s3"].config())["max_pool_connections"],
        r"of which one costs (\d+)": costs["_RETRY_COST"],
        r"or (\d+) after throttling": costs["_THROTTLING_RETRY_COST"],
    }
    said = {pattern: [float(found) for found in re.findall(pattern, text)] for pattern in numbers}
    assert said == {pattern: [number] for pattern, number in numbers.items()}
