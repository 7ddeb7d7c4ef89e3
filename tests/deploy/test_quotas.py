import pytest

from deploy.quotas import quota_of


@pytest.mark.parametrize(
    ("instance_type", "code"),
    [
        ("g4dn.xlarge", "L-DB2E81BA"),
        ("g6.2xlarge", "L-DB2E81BA"),
        ("gr6.4xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"),
        ("p5.48xlarge", "L-417A185B"),
        ("c7i.large", "L-1216C47A"),
    ],
)
def test_an_instance_type_counts_against_the_quota_of_its_family(instance_type: str, code: str) -> None:
    found = quota_of(instance_type, spot=False)

    assert found
    assert found.code == code


@pytest.mark.parametrize("instance_type", ["", "x2idn.16xlarge", "trn1.2xlarge"])
def test_given_a_family_that_has_a_quota_of_its_own_then_it_is_not_guessed(instance_type: str) -> None:
    assert quota_of(instance_type, spot=True) is None


def test_spot_instances_count_against_a_quota_of_their_own() -> None:
    found = quota_of("g4dn.xlarge", spot=True)

    assert found
    assert (found.name, found.code) == ("G and VT", "L-3819A6DF")
