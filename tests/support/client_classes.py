"""Remembers what botocore derives from a service's description, so that a new client of a test costs little.

botocore makes a method for each of a service's operations, EC2's seven hundred too, for every client anew, and no two
of them differ. Neither clients nor their classes are shared: each has its own settings, hooks and connections, and
boto3 adds what botocore alone has not.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.client import ClientCreator
from botocore.loaders import Loader
from botocore.model import ServiceModel

Derive = Callable[[ClientCreator, ServiceModel], dict[str, Any]]


class ServiceDescriptions:
    """botocore's descriptions of the services, parsed once, and the methods of clients made from them."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        creator: Any = ClientCreator  # whose types tell of neither
        self._derived: Mapping[str, Derive] = {
            name: _remembering(getattr(creator, name)) for name in ("_create_methods", "_create_name_mapping")
        }

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let botocore use them until the test ends."""
        monkeypatch.setattr("botocore.session.create_loader", lambda *_: self._loader)
        for name, derive in self._derived.items():
            monkeypatch.setattr(ClientCreator, name, derive)


def _remembering(derive: Derive) -> Derive:
    known: dict[str, dict[str, Any]] = {}

    def remembered(creator: ClientCreator, service_model: ServiceModel) -> dict[str, Any]:
        name = service_model.service_name
        if name not in known:
            known[name] = derive(creator, service_model)
        return dict(known[name])  # who asked adds to it

    return remembered
