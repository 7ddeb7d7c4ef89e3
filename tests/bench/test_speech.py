"""How texts and sound are read from packages; the packages themselves are not fetched here."""

import io
import tarfile
import wave
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bench import packages
from bench.children import MeasurementError
from bench.packages import Package, fetch, read_member
from bench.speech import RATE, decoded, text_of_page, text_of_utterance


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """A source distribution with these members below its top folder."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as content:
        for name, data in members.items():
            content.writestr(name, data)
    return target.getvalue()


def package_of(path: Path, digest: str | None = None) -> Package:
    return Package("demo", "1.0", "sdist", path.name, digest or sha256(path.read_bytes()).hexdigest())


def test_a_file_is_read_from_a_source_distribution_and_from_a_zip_in_it(tmp_path: Path) -> None:
    inner = zipped({"assets/p001.txt": b"words"})
    sdist = archive(tmp_path / "demo-1.0.tar.gz", {"res/job.zip": inner, "plain.txt": b"more"})

    assert read_member(sdist, "plain.txt") == b"more"
    assert read_member(sdist, "res/job.zip!assets/p001.txt") == b"words"


@pytest.mark.parametrize("member", ["absent.txt", "res/job.zip!absent.txt"])
def test_a_file_that_is_not_there_is_a_measurement_that_cannot_be_taken(tmp_path: Path, member: str) -> None:
    sdist = archive(tmp_path / "demo-1.0.tar.gz", {"res/job.zip": zipped({})})

    with pytest.raises(MeasurementError, match=r"holds no .*absent\.txt"):
        read_member(sdist, member)


def test_an_archive_that_is_none_is_a_measurement_that_cannot_be_taken(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"nothing of the kind")

    with pytest.raises(MeasurementError, match="cannot be read"):
        read_member(wheel, "a")


def test_a_package_in_the_cache_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = archive(tmp_path / "demo-1.0.tar.gz", {"a": b""})
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    assert fetch(package_of(kept), tmp_path) == kept


def test_a_package_that_is_not_to_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    wanted = Package("scribefleet-no-such-package", "1.0", "sdist", "x-1.0.tar.gz", "0" * 64)

    with pytest.raises(MeasurementError, match=r"could not fetch scribefleet-no-such-package 1\.0"):
        fetch(wanted, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_cached_file_with_another_hash_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = archive(tmp_path / "demo-1.0.tar.gz", {"a": b"tampered"})
    monkeypatch.setattr(packages, "_download", lambda _package, into: (into / kept.name).write_bytes(b"also wrong"))

    with pytest.raises(MeasurementError, match="with the hash that is pinned"):
        fetch(package_of(kept, digest="0" * 64), tmp_path)


def test_what_pip_brings_is_kept_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = archive(tmp_path / "demo-1.0.tar.gz", {"a": b"words"})
    cache = tmp_path / "cache"
    monkeypatch.setattr(
        packages, "_download", lambda _package, into: (into / source.name).write_bytes(source.read_bytes())
    )

    fetched = fetch(package_of(source), cache)

    assert read_member(fetched, "a") == b"words"
    assert [path.name for path in cache.iterdir()] == [source.name]


def test_a_page_of_a_sonnet_gives_its_verses_without_title_and_number() -> None:
    page = (
        "<title>Sonnet II</title><h1><span id='f001'>II</span></h1><div id=\"divSonnet\"><p>"
        '<span id="f002">When forty winters,</span><br/><span id="f003">beauty&#8217;s field</span></p></div>'
    )

    assert text_of_page(page) == "When forty winters, beauty\u2019s field"


def test_the_line_of_an_utterance_gives_its_words_alone() -> None:
    line = "<s> he was not an ill disposed young man </s> (austen_64kb-0880)"

    assert text_of_utterance(line) == "he was not an ill disposed young man"


def test_any_file_becomes_mono_at_the_recorders_rate() -> None:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.full((16_000, 2), 4000, dtype=np.int16).tobytes())

    samples = decoded(target.getvalue())

    assert samples.ndim == 1
    assert samples.dtype == np.int16
    assert len(samples) == pytest.approx(RATE, abs=RATE // 50)
    assert np.median(samples) == pytest.approx(4000, abs=40)
