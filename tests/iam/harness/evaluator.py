"""Decides what IAM would decide: whether a role's statements allow a request.

Written from the IAM User Guide ("Policy evaluation logic", "IAM JSON policy elements: Condition operators",
"Single-valued vs. multivalued context keys", "Variables and tags") and independent of the emulator, which ignores
conditions. It covers the identity-based policies of one account. What it does not know it refuses to judge: a guess
would be a green test.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]

_KNOWN_ELEMENTS = {"Sid", "Effect", "Action", "Resource", "Condition"}
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class UnknownToEvaluatorError(Exception):
    """A policy uses something that this evaluator does not know."""


@dataclass(frozen=True, slots=True)
class Request:
    """One permission that a call needs.

    Attributes:
        action: as IAM names it, `s3:GetObject`; a batch call needs the action of its single form.
        resource: the ARN that it acts on, `*` where the action knows no resources.
        context: condition key -> its values; a key that the request does not carry is absent, not empty.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self, key: str) -> tuple[str, ...] | None:
        """The values of a condition key, whose name IAM compares without regard to case (tag keys' case included)."""
        lowered = {name.lower(): values for name, values in self.context.items()}
        return lowered.get(key.lower())


def allows(statements: Iterable[Statement], request: Request) -> bool:
    """Whether the statements together allow the request: an explicit denial wins, silence denies."""
    effects = {statement["Effect"] for statement in statements if applies(statement, request)}
    return "Deny" not in effects and "Allow" in effects


def applies(statement: Statement, request: Request) -> bool:
    """Whether one statement, of whatever effect, speaks of the request.

    Raises:
        UnknownToEvaluatorError: it has an element or a condition operator that is not known here.
    """
    if unknown := set(statement) - _KNOWN_ELEMENTS:
        raise UnknownToEvaluatorError(f"elements {sorted(unknown)}")
    return (
        any(_like(request.action.lower(), action.lower()) for action in listed(statement["Action"]))
        and any(_resource_matches(pattern, request) for pattern in listed(statement["Resource"]))
        and all(
            _holds(operator, key, listed(wanted), request)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def listed(value: Any) -> list[str]:
    """IAM takes one text, or a list of them."""
    return [value] if isinstance(value, str) else list(value)


def _resource_matches(pattern: str, request: Request) -> bool:
    filled = _fill(pattern, request)
    return filled is not None and _like(request.resource, filled)


def _holds(operator: str, key: str, wanted: Sequence[str], request: Request) -> bool:
    """One line of a condition block: `operator: {key: wanted}`."""
    values = request.values(key)
    if operator == "Null":
        (absent,) = wanted
        return (values is None) == (absent.lower() == "true")
    quantifier, _, name = operator.rpartition(":")
    if quantifier == "ForAllValues":
        return all(_matches(name, value, wanted, request) for value in values or ())  # true of no values at all
    if quantifier == "ForAnyValue":
        return any(_matches(name, value, wanted, request) for value in values or ())
    if quantifier:
        raise UnknownToEvaluatorError(f"condition operator {operator}")
    if values is None:
        _matches(name, "", wanted, request)  # an operator that is not known must not pass by a key that is absent
        return name in {"StringNotEquals", "StringNotLike"}
    if len(values) != 1:
        raise UnknownToEvaluatorError(f"{key} has {len(values)} values, and {operator} takes one")
    return _matches(name, values[0], wanted, request)


def _matches(operator: str, value: str, wanted: Sequence[str], request: Request) -> bool:
    filled = [text for text in (_fill(text, request) for text in wanted) if text is not None]
    match operator:
        case "StringEquals":
            return value in filled
        case "StringNotEquals":
            return value not in filled
        case "StringLike":
            return any(_like(value, pattern) for pattern in filled)
        case "StringNotLike":
            return not any(_like(value, pattern) for pattern in filled)
        case "ArnLike" | "ArnEquals":
            return any(_arn_like(value, pattern) for pattern in filled)
        case "Bool":
            return value.lower() in [text.lower() for text in filled]
    raise UnknownToEvaluatorError(f"condition operator {operator}")


def _fill(text: str, request: Request) -> str | None:
    """The text with its policy variables replaced; `None` when the request lacks one, which then matches nothing."""
    filled = text
    for name in _VARIABLE.findall(text):
        values = request.values(name)
        if values is None or len(values) != 1:
            return None
        filled = filled.replace(f"${{{name}}}", values[0])
    return filled


def _arn_like(value: str, pattern: str) -> bool:
    """ARNs are compared part by part: a wildcard does not reach over a colon of the first five."""
    values, patterns = value.split(":", 5), pattern.split(":", 5)
    return len(values) == len(patterns) and all(_like(v, p) for v, p in zip(values, patterns, strict=True))


def _like(text: str, pattern: str) -> bool:
    translated = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(translated, text, flags=re.DOTALL) is not None
