"""A process with a hung job ends within its time, with its report written if that can be done."""

import errno
import threading

import pytest

from consumer.lifecycle.watchdog import HangHandler


def test_it_says_what_it_has_to_say_and_ends() -> None:
    happened: list[object] = []
    words = HangHandler(75, end=happened.append)
    words.say = lambda: happened.append("said")
    words.end_process()
    assert happened == ["said", 75]


def test_it_ends_also_when_the_last_word_hangs() -> None:
    released, ended = threading.Event(), list[int]()
    words = HangHandler(75, seconds=0.05, end=ended.append)

    def hang() -> None:
        released.wait(60)

    words.say = hang
    try:
        words.end_process()
        assert ended == [75]
    finally:
        released.set()


def test_before_there_is_anything_to_say_it_just_ends() -> None:
    ended: list[int] = []
    HangHandler(75, end=ended.append).end_process()
    assert ended == [75]


def test_it_ends_also_when_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ended: list[int] = []
    monkeypatch.setattr("sys.stderr.flush", full)
    HangHandler(75, end=ended.append).end_process()
    assert ended == [75]
