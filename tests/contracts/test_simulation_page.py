"""docs/simulation.md says what simulations say today."""

import simulation_page


def test_the_page_has_every_section_and_no_other() -> None:
    assert simulation_page.sections_of(simulation_page.PAGE.read_text()) == set(simulation_page.SECTIONS)


def test_the_rows_of_the_default_and_of_the_quickest_timer_are_what_a_simulation_finds() -> None:
    page = simulation_page.PAGE.read_text()
    for strategy in ("ours", "timer 5 min"):
        result = simulation_page.Case("small", strategy).run()
        assert simulation_page.row(result, simulation_page.COMPARED) in page, "run python scripts/simulation_page.py"


def test_the_row_of_short_wrong_counts_is_what_a_simulation_finds() -> None:
    assert simulation_page.counts("30 to 300 s") in simulation_page.PAGE.read_text()


def test_a_section_is_replaced_and_the_text_around_it_stays() -> None:
    page = "a\n<!-- simulated: one -->\nold\n<!-- end -->\nb\n<!-- simulated: two -->\n<!-- end -->\n"

    made = simulation_page.with_section(page, "one", "new")

    assert made == page.replace("old\n", "\nnew\n\n")
