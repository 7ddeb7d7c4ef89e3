"""The JSON convention of the fleet's own formats."""

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

WIRE: Final = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class WireModel(BaseModel):
    """A format that other programs read: camelCase outside, unknown fields ignored, immutable."""

    model_config = ConfigDict(**WIRE, frozen=True, extra="ignore")

    def to_json(self, *, indent: int | None = None) -> str:
        """The object as JSON with the names of the format."""
        return self.model_dump_json(by_alias=True, indent=indent)
