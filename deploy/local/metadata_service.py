"""One instance's metadata service: version 2 only, as the template demands of the real one."""

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_TOKEN = "/latest/api/token"  # noqa: S105 - a path
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"


@contextmanager
def metadata_service(
    instance_id: str, instance_type: str, region: str, more: Mapping[str, str] | None = None, *, port: int = 0
) -> Iterator[str]:
    """Serve the metadata of one instance for as long as the block lasts; gives the service's address.

    Args:
        more: what is at further paths, such as a spot notice; looked at anew with each request.
        port: where to serve it, so that one which was away comes back at its address; 0 is any free one.
    """
    document = {"instanceId": instance_id, "instanceType": instance_type, "region": region}
    paths = {
        "/latest/dynamic/instance-identity/document": json.dumps(document),
        "/latest/meta-data/instance-id": instance_id,
        "/latest/meta-data/instance-type": instance_type,
        "/latest/meta-data/instance-life-cycle": "on-demand",
    }

    def text_at(path: str) -> str | None:
        return (more or {}).get(path) or paths.get(path)

    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(text_at, secrets.token_urlsafe(32)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name=f"metadata-{instance_id}", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(text_at: Callable[[str], str | None], token: str) -> type[BaseHTTPRequestHandler]:
    class MetadataRequestHandler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if self.path == _TOKEN and self.headers.get(_TTL_HEADER, "").isdigit():
                self._answer(200, token)
            else:
                self._answer(400, "")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != token:
                self._answer(401, "")
            elif text := text_at(self.path):
                self._answer(200, text)
            else:
                self._answer(404, "")

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing: the worker logs what it makes of the answers."""

    return MetadataRequestHandler
