"""What the documentation says is what the code does."""

import re
from pathlib import Path

import click

import settings_table
from deploy.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_page_of_settings_is_up_to_date() -> None:
    assert settings_table.PAGE.read_text() == settings_table.page(), "run python scripts/settings_table.py"


def test_every_reason_for_a_dead_letter_is_explained() -> None:
    reason = r"(?:audio|message|attempts|model|language)-[a-z-]+"
    sources = [path.read_text() for part in ("consumer", "shared") for path in (ROOT / part).rglob("*.py")]
    used = {found for source in sources for found in re.findall(f'"({reason})"', source)}
    explained = set(re.findall(f"`({reason})`", (ROOT / "docs/how-it-works.md").read_text()))
    assert used == explained


def test_every_link_to_a_file_leads_to_one() -> None:
    missing = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    command = re.compile(r"(?:`|^\$ |^)make ([a-z]+)(?:`|$|  )", flags=re.MULTILINE)
    named = {name for page in PAGES for name in command.findall(page.read_text())}
    assert {"check", "demo", "test"} <= named
    assert named <= targets


def test_ci_runs_the_checks_and_the_commands_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    hosted = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    for command in ("make check", "make demo", "make test"):
        assert command in ci
        assert command in hosted


def test_the_page_of_commands_has_every_command_and_no_other() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    first_cells = re.findall(r"^\| (`.+?) \|", page, flags=re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([a-z-]+)[^`]*`", cell)}
    subcommands = {"show", "redrive", "purge", "take", "release", "path", "check"}
    assert named - subcommands == set(cli.list_commands(click.Context(cli)))
