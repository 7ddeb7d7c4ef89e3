"""Writes docs/settings.md from the Settings class; a test holds the two together."""

from pathlib import Path
from typing import Any

from shared.setting_groups import ENV_PREFIX, ModelSettings
from shared.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

_HEAD = """# Settings

Made from the class `Settings` by `python scripts/settings_table.py`; change it there.

Every setting is an environment variable. AWS's own variables (`AWS_DEFAULT_REGION`, `AWS_PROFILE`,
`AWS_ENDPOINT_URL`, the metadata service's and so on) work as in any boto3 program. A variable that is missing or wrong
ends the command with exit code 2 and one line that names it.

| variable | what it takes | default | allowed |
|---|---|---|---|
"""


def page() -> str:
    """The page as it should be."""
    schema = Settings.model_json_schema()["properties"]
    # Pydantic lists a base class's fields first; a reader looks first for what is required, and that is the fleet's.
    fields = sorted(
        Settings.model_fields.items(),
        key=lambda item: (item[0] in ModelSettings.model_fields, not item[1].is_required()),
    )
    rows = (
        f"| `{(ENV_PREFIX + name).upper()}` | {field.description} | {_default(field)} | {_allowed(schema[name])} |"
        for name, field in fields
    )
    return _HEAD + "\n".join(rows) + "\n"


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    return "none" if field.default in (None, "") else f"`{str(field.default).lower()}`"


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    parts = [f"{sign} {schema[bound]:,}" for bound, sign in bounds.items() if bound in schema]
    return ", ".join(parts) or "text"


if __name__ == "__main__":
    PAGE.write_text(page())
