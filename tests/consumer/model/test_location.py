import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants
import pytest

import consumer.model.location
from consumer.model.location import is_model_name, place_in_store, resolve_model_dir
from consumer.model.selftest import self_test
from consumer.model.whisper import WhisperTranscriber
from shared.errors import ConfigurationError
from shared.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import FakeClock

FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
REPOSITORY = "models--Systran--faster-whisper-small.en"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def resolve(of: Settings) -> Path:
    return resolve_model_dir(of.model, of.model_dir, of.model_store)


def settings(**changes: Any) -> Settings:
    names = dict.fromkeys(
        ("bucket", "jobs_queue_url", "priority_queue_url", "dead_letter_queue_url", "table_name"), "unused"
    )
    return Settings(**{**names, "model": "small.en", "model_dir": None, "model_store": Path("/nowhere"), **changes})


def model_in(directory: Path, *, without: str = "") -> Path:
    directory.mkdir(parents=True)
    for name in FILES:
        if name != without:
            (directory / name).write_bytes(b"")
    return directory


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the model hub, on a machine without a network."""

    def unreachable(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cached_model(cache: Path, *, without: str = "") -> Path:
    (cache / REPOSITORY / "refs").mkdir(parents=True)
    (cache / REPOSITORY / "refs" / "main").write_text(REVISION)
    return model_in(cache / REPOSITORY / "snapshots" / REVISION, without=without)


def test_given_a_directory_with_a_whole_model_then_it_is_taken_before_any_other(tmp_path: Path) -> None:
    directory = model_in(tmp_path / "mine")

    assert resolve(settings(model_dir=directory, model="tiny.en")) == directory


@pytest.mark.parametrize("missing", FILES)
def test_given_a_directory_that_lacks_a_file_then_one_line_names_it(missing: str, tmp_path: Path) -> None:
    directory = model_in(tmp_path / "mine", without=missing)

    with pytest.raises(ConfigurationError) as failure:
        resolve(settings(model_dir=directory))
    assert f"{directory} lacks {missing.replace('.txt', '.*')}: run `scribefleet model fetch`" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_given_a_vocabulary_in_json_then_the_model_is_whole(tmp_path: Path) -> None:
    directory = model_in(tmp_path / "mine", without="vocabulary.txt")
    (directory / "vocabulary.json").write_bytes(b"")

    assert resolve(settings(model_dir=directory)) == directory


def test_given_a_path_that_is_no_directory_then_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no directory: run `scribefleet model fetch`"):
        resolve(settings(model_dir=tmp_path / "nowhere"))


def test_given_the_packaged_model_by_name_then_it_is_found_and_whole() -> None:
    directory = resolve(settings(model="tiny.en"))

    assert (directory / "model.bin").stat().st_size > 70_000_000


def test_given_the_package_is_not_installed_and_nothing_is_cached_then_one_line_says_how_to_get_a_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer.model.location, "_PACKAGE", "a_package_that_is_not_installed")

    with pytest.raises(ConfigurationError) as failure:
        resolve(settings(model="tiny.en"))
    assert str(failure.value) == (
        "No model 'tiny.en' on this machine: run `scribefleet model fetch`, or set SCRIBEFLEET_MODEL_DIR to a "
        "directory with a Whisper model in CTranslate2 format, or install scribefleet[local] and set "
        "SCRIBEFLEET_MODEL=tiny.en."
    )


@pytest.mark.parametrize(("name", "folder"), [("small.en", "small.en"), ("someone/some-model", "someone--some-model")])
def test_given_a_model_in_the_store_then_it_is_found_by_name(name: str, folder: str, tmp_path: Path) -> None:
    directory = model_in(tmp_path / "store" / folder)

    assert resolve(settings(model=name, model_store=tmp_path / "store")) == directory


def test_given_a_model_in_the_store_and_a_packaged_one_of_that_name_then_the_store_wins(tmp_path: Path) -> None:
    directory = model_in(tmp_path / "store" / "tiny.en")

    assert resolve(settings(model="tiny.en", model_store=tmp_path / "store")) == directory


@pytest.mark.parametrize("name", ["../mine", "store/../../mine", "/etc", ".", "..", "mine/", "a b", "a/b/c", ""])
def test_given_a_name_that_leads_out_of_the_store_then_it_is_no_name(name: str, tmp_path: Path) -> None:
    model_in(tmp_path / "mine")
    (tmp_path / "store").mkdir()

    assert not is_model_name(name)
    with pytest.raises(ConfigurationError, match="on this machine"):
        resolve_model_dir(name, None, tmp_path / "store")


def test_given_a_place_in_the_store_then_the_users_home_is_spelled_out() -> None:
    assert place_in_store(Path("~/models"), "tiny.en") == Path.home() / "models" / "tiny.en"


@pytest.mark.model
def test_given_a_worker_that_loads_and_uses_its_model_then_the_network_is_never_touched(clock: "FakeClock") -> None:
    # the fixture `cache` makes every connection an error
    assert self_test(WhisperTranscriber(settings(model="tiny.en", device="cpu"), clock), clock).share_heard == 1


def test_given_an_earlier_download_then_the_cached_model_is_found_without_the_network(cache: Path) -> None:
    snapshot = cached_model(cache)

    assert resolve(settings()) == snapshot


def test_given_a_download_that_was_broken_off_then_one_line_names_what_is_missing(cache: Path) -> None:
    cached_model(cache, without="model.bin")

    with pytest.raises(ConfigurationError, match=r"small\.en lacks model\.bin"):
        resolve(settings())


@pytest.mark.parametrize("name", ["small.en", "no-such-size", "someone/some-model", "a/b/c"])
def test_given_a_name_that_nothing_here_answers_to_then_it_is_an_error_and_not_a_download(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"No model '{name}' on this machine"):
        resolve(settings(model=name))
