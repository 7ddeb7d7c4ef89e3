"""The page on security says what the template says."""

import policy_table


def test_the_table_of_permissions_is_up_to_date() -> None:
    written = policy_table.PAGE.read_text()
    assert written == policy_table.page(written), "run python scripts/policy_table.py"


def test_the_table_has_every_part_with_its_role() -> None:
    roles = {line.split("|")[1].strip() for line in policy_table.table().splitlines()[2:]}
    assert roles == {"scanner", "autoscaler", "worker"}
