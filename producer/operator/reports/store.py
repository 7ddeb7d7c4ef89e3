"""The batch reports in the bucket: their names, newest first, and their content.

The name alone tells when a run began, so a list of names costs a LIST and no report. It only reads.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from producer.operator.reports.model import Reading, ReportUnreadableError, read_facts
from shared.errors import AWS_ERRORS, cause_of, is_missing
from shared.formats.layout import REPORTS_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# As `shared.formats.layout.report_stem` builds it. Instance ids hold a hyphen; the number of a copy is digits alone.
_STEM = re.compile(r"batch-([0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{4})(?:-([A-Za-z0-9][A-Za-z0-9._-]*))?")
_THREADS = 16  # within the pool of connections of the client


@dataclass(frozen=True, slots=True, order=True)
class ReportName:
    """A report by its name; ordered by when its run began.

    Attributes:
        began: to the minute.
        stem: the key without prefix and ending; what people call the report by.
    """

    began: datetime
    stem: str

    @property
    def names_an_instance(self) -> bool:
        """Whether it is a run's; a skipped scan has no instance."""
        match = _STEM.fullmatch(self.stem)
        return bool(match and match[2] and not match[2].isdigit())


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report that was looked for: what it says, or why that is not known."""

    name: ReportName
    reading: Reading | None = None
    problem: str | None = None


class ReportStore:
    """The reports of one bucket. Every method raises what boto3 raises, unless it says otherwise."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def names(self, beginning: str = "", after: datetime | None = None) -> list[ReportName]:
        """Names of the reports that there are, newest first; other keys beside them are left out.

        Args:
            beginning: how the names begin; a day is `batch-2026-03-01`.
            after: only runs that began in this minute or later.
        """
        # A name is sorted behind all that it begins with, so the bare minute comes before each of its reports.
        start = f"{REPORTS_PREFIX}batch-{after.astimezone(UTC):%Y-%m-%d-%H%M}" if after else ""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{REPORTS_PREFIX}{beginning}", StartAfter=start
        )
        keys = (listed["Key"] for page in pages for listed in page.get("Contents", []))
        found = (parse_name(key.removeprefix(REPORTS_PREFIX).removesuffix(".json")) for key in keys if _is_json(key))
        return sorted((name for name in found if name), reverse=True)

    def read(self, name: ReportName) -> ReadReport:
        """One report; never raises for what AWS refuses or the report holds."""
        try:
            return ReadReport(name, read_facts(self._get(f"{name.stem}.json")))
        except ReportUnreadableError as error:
            return ReadReport(name, problem=str(error))
        except AWS_ERRORS as error:
            gone = "it has been deleted" if is_missing(error) else ""
            return ReadReport(name, problem=gone or f"AWS refused it: {cause_of(error)}")

    def read_all(self, names: Iterable[ReportName]) -> Iterator[ReadReport]:
        """The reports in the order of their names, read some at a time, and only as far as they are asked for."""
        waiting = iter(names)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="reports") as pool:
            while some := list(islice(waiting, _THREADS)):
                yield from pool.map(self.read, some)

    def page(self, name: ReportName) -> bytes | None:
        """The report's HTML; `None` when there is none."""
        try:
            return self._get(f"{name.stem}.html")
        except AWS_ERRORS as error:
            if is_missing(error):
                return None
            raise

    def _get(self, file: str) -> bytes:
        return self._s3.get_object(Bucket=self._bucket, Key=f"{REPORTS_PREFIX}{file}")["Body"].read()


def parse_name(stem: str) -> ReportName | None:
    """The name's parts; `None` for what is no report's name."""
    match = _STEM.fullmatch(stem)
    try:
        return ReportName(datetime.strptime(f"{match[1]}+0000", "%Y-%m-%d-%H%M%z"), stem) if match else None
    except ValueError:  # a day that no calendar has
        return None


def chosen(names: Sequence[ReportName], wanted: str) -> list[ReportName]:
    """The reports that `wanted` can mean: the one called so, `latest`, or all whose names hold it."""
    if wanted == "latest":
        return list(names[:1])
    exact = [name for name in names if name.stem == wanted]
    return exact or [name for name in names if wanted in name.stem]


def _is_json(key: str) -> bool:
    return key.endswith(".json")
