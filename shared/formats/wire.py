"""The JSON convention of the fleet's own formats."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """A format that other programs read: camelCase outside, unknown fields ignored, never changed once made."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def to_json(self, *, indent: int | None = None) -> str:
        """The object as JSON with the names of the format."""
        return self.model_dump_json(by_alias=True, indent=indent)
