"""Makes what lies in the bucket old."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from moto.s3.models import s3_backends

Age = Callable[[str, float], None]


@pytest.fixture
def age() -> Age:
    """Makes the objects whose keys hold a text so many seconds older.

    moto has no way to store an old object, and its server runs in this process: the stamps of its listings are moved.
    """

    def make_older(part: str, seconds: float) -> None:
        for bucket in next(iter(s3_backends.values()))["aws"].buckets.values():
            for key, stored in bucket.keys.items():
                if part in key:
                    stored.last_modified -= timedelta(seconds=seconds)

    return make_older
