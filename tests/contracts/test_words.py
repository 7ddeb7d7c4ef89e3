"""Words that the project has replaced do not come back, and a class name means one thing.

Single words are in `.codespell-words.txt`, which `make lint` checks; here are those that codespell cannot see.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("autoscaler", "consumer", "deploy", "producer", "shared")
FOLDERS: Final = (*PRODUCT, "bench", "docs", "scripts", "tests")
KINDS: Final = frozenset({".html", ".j2", ".md", ".py", ".sh", ".service", ".toml", ".yaml", ".yml"})
# What was, and this list.
HISTORY: Final = frozenset({"CHANGELOG.md", "docs/renames.md", "tests/contracts/test_words.py"})

# In brackets, so that a search for the names finds nothing here either.
NAMES: Final = r"_MOS[T]_|_LEAS[T]_|_LOOK_SECOND[S]|real_?time_?facto[r]"
PHRASES: Final = r"what reaches this"


def texts() -> Iterator[tuple[str, str]]:
    """Each text file of the project by its path."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in KINDS and name not in HISTORY:
            yield name, path.read_text(encoding="utf-8")


def test_no_text_has_a_replaced_name_or_phrase() -> None:
    replaced = re.compile(f"{NAMES}|{PHRASES}", flags=re.IGNORECASE)
    assert not [f"{name}: {found}" for name, text in texts() for found in replaced.findall(text)]


def test_no_two_classes_of_the_product_have_the_same_public_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, text in texts():
        if name.startswith(PRODUCT) and name.endswith(".py"):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(name)
    assert not {each for each, where in places.items() if len(where) > 1}
