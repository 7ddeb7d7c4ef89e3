"""Writes docs/reference/permissions.md from the template; a test holds the two together."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cfnlint.decode import decode

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "permissions.md"
TEMPLATE = ROOT / "deploy" / "template.yaml"

_HEAD = """# Permissions

Generated from `deploy/template.yaml` by `python scripts/policy_table.py`; change it there. ARNs are shortened to what
they name. Which statements need a word is in [Security](../security.md#roles).

| role | statement | only with | may | on | if |
|---|---|---|---|---|---|
"""
_WITH = {"UsesPool": "the pool", "UsesGroup": "a group", "InstallsHost": "`HostPackageKey`"}


def page() -> str:
    """The page as it should be: one row for each statement of each policy in the template, in the template's order."""
    template: Any
    template, _ = decode(str(TEMPLATE))
    policies = [made for made in template["Resources"].values() if made["Type"] == "AWS::IAM::Policy"]
    return _HEAD + "".join(f"{row}\n" for policy in policies for row in _rows(policy))


def _rows(policy: Mapping[str, Any]) -> Iterator[str]:
    (role,) = policy["Properties"]["Roles"]
    # An unknown condition ends the script: the table would say less than the template.
    mode = _WITH[policy["Condition"]] if "Condition" in policy else ""
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        cells = (
            role["Ref"].removesuffix("Role").lower(),
            statement["Sid"],
            mode,
            _cell(statement["Action"]),
            _cell(statement["Resource"]),
            _cell([*_conditions(statement.get("Condition", {}))]),
        )
        yield f"| {' | '.join(cells)} |"


def _cell(values: Any) -> str:
    values = values if isinstance(values, list) else [values]
    return "<br>".join(f"`{_text(value)}`" for value in values)


def _conditions(condition: Mapping[str, Any]) -> Iterator[str]:
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            texts = [_text(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            yield f"{operator} {key}: {', '.join(texts)}"


def _text(value: Any) -> str:
    """A value of the template in one line: what a reader needs of its functions and its ARNs."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, "Arn"]}:
            return str(name)
        case {"Fn::If": [_, {"Ref": made}, {"Ref": existing}]}:
            return f"{made} or ${{{existing}}}"
        case {"Fn::Sub": [text, _]} | {"Fn::Sub": text} | str(text):
            # arn:partition:service:region:account:what; a pseudo parameter holds colons of its own
            return re.sub(r"\$\{AWS::\w+\}", "", text).split(":", 5)[-1] if text.startswith("arn:") else text
    raise ValueError(f"a function that the table does not know: {json.dumps(value)}")


if __name__ == "__main__":
    PAGE.write_text(page())
