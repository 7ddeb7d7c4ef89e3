"""Fetching a model: the real command in a process of its own, against a server that speaks the hub's few endpoints."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consumer.model.download import fetch_model, hub_repository
from consumer.model.location import missing_files
from shared.errors import ConfigurationError

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "Systran/faster-whisper-tiny.en"


@dataclass
class Hub:
    """A repository as the hub shows it. Files that are `cut` end half way."""

    files: dict[str, bytes] = field(
        default_factory=lambda: {
            "README.md": b"not wanted",
            "config.json": b"{}",
            "model.bin": bytes(range(256)) * 4000,
            "tokenizer.json": b"{}",
            "vocabulary.txt": b"a\nb\n",
        }
    )
    cut: set[str] = field(default_factory=set)
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[bytes, bytes] | None:
        """What is promised and what is sent for a path of the hub; `None` where there is nothing."""
        self.asked.append(path)
        if path.startswith(f"/api/models/{REPOSITORY}/revision/"):
            siblings = [{"rfilename": name} for name in self.files]
            body = json.dumps({"id": REPOSITORY, "sha": REVISION, "siblings": siblings}).encode()
            return body, body
        if path.startswith(f"/api/models/{REPOSITORY}/tree/{REVISION}"):
            named = [
                {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                for name, body in self.files.items()
            ]
            body = json.dumps(named).encode()
            return body, body
        name = path.removeprefix(f"/{REPOSITORY}/resolve/{REVISION}/")
        whole = self.files.get(name)
        if whole is None:
            return None
        return whole, whole[: len(whole) // 2] if name in self.cut else whole


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Not into the test's output."""

    def _answer(self, *, with_body: bool) -> None:
        found = self.hub.answer(self.path)
        whole, sent = found or (b"", b"")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(whole)))
        self.send_header("ETag", f'"{hashlib.sha256(whole).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if with_body:
            self.wfile.write(sent)
            self.close_connection = len(sent) < len(whole)


@pytest.fixture
def hub() -> Iterator[Hub]:
    shown = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": shown}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    shown.url = f"http://127.0.0.1:{server.server_port}"
    yield shown
    server.shutdown()
    thread.join()
    server.server_close()


def run_model(*arguments: str, hub_url: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`scribefleet model` in a process of its own: the hub's library reads its address once, when it is imported."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_ENDPOINT": hub_url,
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        "SCRIBEFLEET_MODEL_STORE": str(home / "store"),
    }
    command = [sys.executable, "-m", "deploy", "model", *arguments]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[3],
    )


def test_given_a_hub_when_a_model_is_fetched_then_workers_find_it_by_name_and_whole(hub: Hub, tmp_path: Path) -> None:
    ran = run_model("fetch", "tiny.en", "--json", hub_url=hub.url, home=tmp_path)

    assert ran.returncode == 0, ran.stderr
    directory = tmp_path / "store" / "tiny.en"
    assert json.loads(ran.stdout) == {"model": "tiny.en", "directory": str(directory), "downloaded": True}
    wanted = {name: body for name, body in hub.files.items() if name != "README.md"}
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == wanted
    assert list((tmp_path / "store").iterdir()) == [directory]
    found = run_model("path", "tiny.en", hub_url="http://127.0.0.1:1", home=tmp_path)
    assert found.stdout.strip() == str(directory)


def test_given_a_model_that_is_there_when_it_is_fetched_again_then_the_hub_is_not_asked(
    hub: Hub, tmp_path: Path
) -> None:
    run_model("fetch", "tiny.en", "--to", str(tmp_path / "mine"), hub_url=hub.url, home=tmp_path)
    hub.asked.clear()

    again = run_model("fetch", "tiny.en", "--to", str(tmp_path / "mine"), hub_url=hub.url, home=tmp_path)

    assert again.returncode == 0
    assert "was already in" in again.stdout
    assert f"SCRIBEFLEET_MODEL_DIR={tmp_path / 'mine'}" in again.stdout
    assert hub.asked == []


def test_given_a_download_that_is_cut_off_then_nothing_is_left_and_it_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    hub.cut = {"model.bin"}

    ran = run_model("fetch", "tiny.en", hub_url=hub.url, home=tmp_path)

    assert ran.returncode == 1
    assert f"/{REPOSITORY}/resolve/{REVISION}/model.bin" in hub.asked
    assert f"The model hub ({hub.url}) did not give {REPOSITORY}" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list((tmp_path / "store").iterdir()) == []


def test_given_a_repository_without_a_needed_file_then_it_is_no_model_and_nothing_is_left(
    hub: Hub, tmp_path: Path
) -> None:
    del hub.files["model.bin"]

    ran = run_model("fetch", "tiny.en", hub_url=hub.url, home=tmp_path)

    assert ran.returncode == 1
    assert f"{REPOSITORY} is no Whisper model in CTranslate2 format: it lacks model.bin" in ran.stderr
    assert list((tmp_path / "store").iterdir()) == []


def test_given_a_hub_that_cannot_be_reached_then_it_says_which_and_what_to_do(tmp_path: Path) -> None:
    ran = run_model("fetch", "tiny.en", hub_url="http://127.0.0.1:1", home=tmp_path)

    assert ran.returncode == 1
    assert "The model hub (http://127.0.0.1:1) did not give" in ran.stderr
    assert "HF_ENDPOINT to a mirror" in ran.stderr
    assert "SCRIBEFLEET_MODEL_DIR" in ran.stderr


def test_given_something_else_in_the_place_then_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ConfigurationError, match=r"is there already and lacks model\.bin"):
        fetch_model("tiny.en", tmp_path, progress=False)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_given_a_name_that_no_model_has_then_it_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"No model is called 'huge'.*small\.en"):
        fetch_model("huge", tmp_path / "huge", progress=False)
    assert not (tmp_path / "huge").exists()


def test_given_a_repository_of_ones_own_then_it_is_taken_as_it_is() -> None:
    assert hub_repository("someone/some-model") == "someone/some-model"


def test_given_the_packaged_model_then_it_has_all_that_a_worker_reads(tmp_path: Path) -> None:
    ran = run_model("path", "tiny.en", "--json", hub_url="http://127.0.0.1:1", home=tmp_path)

    found = json.loads(ran.stdout)
    assert missing_files(Path(found["directory"])) == []
    assert found["bytes"] > 70_000_000
