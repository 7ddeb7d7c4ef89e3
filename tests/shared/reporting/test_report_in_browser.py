"""The report's page in a real browser: nothing to complain of, nothing asked for, in every status and both colours."""

from pathlib import Path

import pytest

from shared.reporting.reports import ReportStatus, render_html
from tests.shared.reporting.headless_browser import visit
from tests.shared.reporting.sample_report_pages import STATUSES, sample_report, sample_timeline


@pytest.mark.parametrize("status", STATUSES)
def test_the_page_opens_without_a_word_on_the_console_and_asks_for_nothing(
    status: ReportStatus, tmp_path: Path
) -> None:
    timeline = None if status == "skipped" else sample_timeline()

    seen = visit(render_html(sample_report(status), timeline), tmp_path, dark=status == "partial")

    assert (seen.console, seen.requests) == ((), ())
    assert f"<strong>{status.capitalize()}</strong>" in seen.dom
    assert ("<svg" in seen.dom) == (status != "skipped")


def test_a_page_that_would_run_a_script_and_load_an_image_is_held_by_its_own_policy(tmp_path: Path) -> None:
    page = render_html(sample_report("success")).replace(
        "<main>", '<main><script>document.title = "run"</script><img src="https://example.org/pixel.png">'
    )

    seen = visit(page, tmp_path)

    assert "<title>run</title>" not in seen.dom
    assert seen.requests == ()
    assert len([line for line in seen.console if "Content Security Policy" in line]) == 2


def test_what_a_page_asks_for_and_complains_of_is_seen(tmp_path: Path) -> None:
    page = (
        '<!doctype html><link rel="icon" href="data:,"><script>nothing()</script><img src="https://example.org/a.png">'
    )

    seen = visit(page, tmp_path)

    assert seen.requests == ("https://example.org/a.png",)
    assert "nothing is not defined" in seen.console[0]
