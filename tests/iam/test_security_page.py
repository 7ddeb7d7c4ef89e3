"""The page on security says what the template says."""

import policy_table


def test_the_table_of_permissions_is_up_to_date() -> None:
    assert policy_table.PAGE.read_text() == policy_table.page(), "run python scripts/policy_table.py"


def test_the_table_has_every_part_with_its_role() -> None:
    _, _, rows = policy_table.page().partition("|---|\n")
    roles = {row.split("|")[1].strip() for row in rows.splitlines()}
    assert roles == {"scanner", "autoscaler", "worker"}
