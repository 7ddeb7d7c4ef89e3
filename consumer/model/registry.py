"""The speech models of this process: the fleet's own, loaded at the start, and others that jobs ask for by name.

It decides which are kept in memory. It must never download: a model that is not on this machine is an error of the
job that wants it.
"""

from collections import OrderedDict
from collections.abc import Callable

from consumer.model.location import is_model_name
from consumer.model.transcriber import Transcriber
from shared.errors import ConfigurationError, PermanentJobError
from shared.setting_groups import ModelSettings


class Models:
    """Asked by one thread at a time; what it hands out may be used by several.

    A model that gives way to another one is freed when the last window that it is at work on is done.

    Args:
        settings: say which model is the fleet's own, and how many are kept.
        load: loads the model that the settings name. It raises `ConfigurationError` when there is none on this
            machine or it does not work here.

    Raises:
        ConfigurationError: the fleet's own model cannot be loaded, or does not know the fleet's language.
    """

    def __init__(self, settings: ModelSettings, load: Callable[[ModelSettings], Transcriber]) -> None:
        self._settings = settings
        self._load = load
        self._others: OrderedDict[str, Transcriber] = OrderedDict()
        self.default = load(settings)
        if settings.language not in self.default.languages:
            raise ConfigurationError(
                f"SCRIBEFLEET_LANGUAGE={settings.language} is no language of the model {self.default.model_name}, "
                f"which knows {_listed(self.default.languages)}."
            )

    def get(self, model: str | None, language: str | None) -> Transcriber:
        """The transcriber for a job; without a model or a language of its own the fleet's.

        Raises:
            PermanentJobError: `model-unavailable` or `language-unsupported`.
        """
        transcriber = self._named(model)
        wanted = language or self._settings.language
        if wanted not in transcriber.languages:
            raise PermanentJobError(
                "language-unsupported",
                f"{wanted!r} is no language of the model {transcriber.model_name}, "
                f"which knows {_listed(transcriber.languages)}",
            )
        return transcriber

    def _named(self, model: str | None) -> Transcriber:
        if model is None or model in (self._settings.model, self.default.model_name):
            return self.default
        if model in self._others:
            self._others.move_to_end(model)
            return self._others[model]
        if not is_model_name(model):
            raise PermanentJobError("model-unavailable", f"{model[:100]!r} is no name of a model")
        return self._loaded(model)

    def _loaded(self, model: str) -> Transcriber:
        # Room first: the memory of a GPU seldom holds one more than it has to.
        while self._others and len(self._others) + 2 > self._settings.models_kept:
            self._others.popitem(last=False)
        try:
            transcriber = self._load(self._settings.model_copy(update={"model": model, "model_dir": None}))
        except ConfigurationError as error:
            raise PermanentJobError("model-unavailable", str(error)) from error
        self._others[model] = transcriber
        return transcriber


def _listed(languages: frozenset[str]) -> str:
    return ", ".join(sorted(languages)) if len(languages) < 4 else f"{len(languages)} others"
