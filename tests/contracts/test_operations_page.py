"""The operations page has what alarms, commands and parameters are called, and nothing else."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from cfnlint.decode import decode

import deploy
from consumer.run.metrics import WorkerMetrics
from deploy.cli import cli
from tests.deploy.alarms.template_alarms import alarms

if TYPE_CHECKING:
    from tests.conftest import FakeClock

PAGE = (Path(__file__).parents[2] / "docs/operations.md").read_text()
SECTIONS = dict(
    re.findall(r"^### (.+?)\n(.+?)(?=^##|\Z)", PAGE.split("\n## Alarms\n")[1], flags=re.MULTILINE | re.DOTALL)
)

# Words that look like parameters and are AWS's.
AWSS_WORDS = {
    "AccessDenied", "InstanceLimitExceeded", "InstanceStatus", "MemorySize", "SystemStatus", "VcpuLimitExceeded"
}  # fmt: skip


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading of letters and spaces."""
    return heading.lower().replace(" ", "-")


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    parsed, problems = decode(str(Path(deploy.__file__).parent / "template.yaml"))
    assert not problems
    assert parsed is not None
    return dict(parsed)


@pytest.fixture(scope="module")
def runbooks(template: dict[str, Any]) -> dict[str, str]:
    """Alarm -> the section that its description leads to."""
    found = {
        name: re.findall(r"docs/operations\.md#([a-z0-9-]+)", a["AlarmDescription"])
        for name, a in alarms(template).items()
    }
    assert all(len(anchors) == 1 for anchors in found.values())
    return {name: anchors[0] for name, anchors in found.items()}


@pytest.fixture
def said_by_a_worker(clock: "FakeClock") -> list[str]:
    """The names of the metrics in a worker's line."""
    lines: list[Any] = []
    metrics = WorkerMetrics("blue", clock, lines.append)
    clock.advance(60)
    metrics.write(0)
    (directive,) = lines[0]["_aws"]["CloudWatchMetrics"]
    return [metric["Name"] for metric in directive["Metrics"]]


def test_every_alarm_leads_to_a_section_and_every_section_belongs_to_an_alarm(runbooks: dict[str, str]) -> None:
    assert {anchor(heading) for heading in SECTIONS} == set(runbooks.values())


def test_a_section_of_several_alarms_names_each_of_them(runbooks: dict[str, str]) -> None:
    for heading, text in SECTIONS.items():
        named = [name for name, section in runbooks.items() if section == anchor(heading)]
        # Those of the pool's single instances are the section's own name and a number.
        missing = [name for name in named if f"`{name}`" not in text and not name.startswith(anchor(heading))]
        assert not missing


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_section_says_what_it_means_where_to_look_how_to_mend_and_when_it_is_harmless(heading: str) -> None:
    assert re.findall(r"^- \*\*(.+?):\*\*", SECTIONS[heading], flags=re.MULTILINE) == [
        "Means",
        "Look first",
        "Mend",
        "Harmless when",
    ]


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.+)$", PAGE, flags=re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


def test_every_output_and_parameter_that_the_page_names_is_the_templates(
    template: dict[str, Any], said_by_a_worker: list[str]
) -> None:
    outputs = set(re.findall(r"\bout ([A-Z]\w+)", PAGE))
    assert outputs
    assert outputs <= set(template["Outputs"])
    settings = set(re.findall(r"(?:--parameter |`)([A-Z][A-Za-z]+)=", PAGE))
    assert {"BudgetOverrideUntil", "MaxInstances", "QuietHours"} <= settings
    words = set(re.findall(r"`((?:[A-Z][a-z0-9]+){2,})`", PAGE))
    assert (settings | words) - set(template["Parameters"]) - set(said_by_a_worker) - AWSS_WORDS == {"KEY"}


def test_every_command_that_the_page_names_exists() -> None:
    commands = set(re.findall(r"scribefleet ([a-z-]+)", re.sub(r"scribefleet-[a-z]+", "", PAGE)))
    assert {"alarms", "autoscale", "deploy", "doctor"} <= commands
    assert commands <= set(cli.list_commands(click.Context(cli)))


def test_the_page_names_every_metric_of_a_worker_and_no_other(said_by_a_worker: list[str]) -> None:
    table = PAGE.split("| metric | unit |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == sorted(said_by_a_worker)
