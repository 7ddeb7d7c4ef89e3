"""Remembers what botocore derives from a service's description, so that a new client of a test costs little.

boto3 makes a class with a method for each of a service's operations, EC2's seven hundred too, for every client anew,
and no two of them differ. Clients themselves are never shared: each has its own settings, hooks and connections.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import ClientCreator
from botocore.loaders import Loader


class ServiceDescriptions:
    """botocore's descriptions of the services, parsed once, and the classes of clients made from them."""

    def __init__(self) -> None:
        self._loader = Loader()
        self._classes: dict[str, type] = {}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let botocore use them until the test ends."""
        monkeypatch.setattr("botocore.session.create_loader", lambda *_: self._loader)
        made = self._remembering(ClientCreator._create_client_class)
        monkeypatch.setattr(
            ClientCreator, "_create_client_class", self._remembering(ClientCreator._create_client_class)
        )

    def _remembering(self, create: Callable[[ClientCreator, str, Any], type]) -> Callable[..., type]:
        def client_class(creator: ClientCreator, service_name: str, service_model: Any) -> type:
            if service_name not in self._classes:
                self._classes[service_name] = create(creator, service_name, service_model)
            return self._classes[service_name]

        return client_class
