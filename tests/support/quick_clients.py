"""Remembers what botocore works out for every client anew, so that a new client of a test costs little.

It makes a method for each of a service's operations, EC2's seven hundred too, and looks through its table of old event
names for each of its own handlers: no two clients differ in either. Neither clients nor their classes are shared: each
has its own settings, hooks and connections, and boto3 adds what botocore alone has not.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.client import ClientCreator
from botocore.compat import accepts_kwargs
from botocore.hooks import EventAliaser
from botocore.loaders import Loader
from botocore.model import ServiceModel

Derive = Callable[[ClientCreator, ServiceModel], dict[str, Any]]


class QuickClients:
    """botocore's descriptions of the services, parsed once, and what it derives from them for clients."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._event_names: dict[str, str] = {}
        creator: Any = ClientCreator  # whose types tell of neither
        self._derived: Mapping[str, Derive] = {
            name: _remembering(getattr(creator, name)) for name in ("_create_methods", "_create_name_mapping")
        }

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let botocore use them until the test ends."""
        monkeypatch.setattr("botocore.session.create_loader", lambda *_: self._loader)
        for name, derive in self._derived.items():
            monkeypatch.setattr(ClientCreator, name, derive)
        begin: Any = EventAliaser.__init__

        def with_names(aliaser: Any, *arguments: Any) -> None:
            begin(aliaser, *arguments)
            aliaser._alias_name_cache = self._event_names

        monkeypatch.setattr(EventAliaser, "__init__", with_names)
        monkeypatch.setattr("botocore.hooks.accepts_kwargs", _takes_any_keyword)


def _remembering(derive: Derive) -> Derive:
    known: dict[str, dict[str, Any]] = {}

    def remembered(creator: ClientCreator, service_model: ServiceModel) -> dict[str, Any]:
        name = service_model.service_name
        if name not in known:
            known[name] = derive(creator, service_model)
        return dict(known[name])  # who asked adds to it

    return remembered


def _takes_any_keyword(handler: Any) -> bool:
    """As botocore asks of each handler, without working out the handler's whole signature."""
    code = getattr(handler, "__code__", None)  # a method has its function's
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) if code else bool(accepts_kwargs(handler))
