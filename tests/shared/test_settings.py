"""Settings: what is missing or wrong is said in one line for each variable, and every field explains itself."""

import pytest
from pydantic import ValidationError

from shared.errors import ConfigurationError
from shared.setting_groups import ENV_PREFIX
from shared.settings import Settings, load_settings

REQUIRED = {
    "SCRIBEFLEET_BUCKET": "recordings",
    "SCRIBEFLEET_JOBS_QUEUE_URL": "https://queues.test/jobs",
    "SCRIBEFLEET_PRIORITY_QUEUE_URL": "https://queues.test/jobs-priority",
    "SCRIBEFLEET_DEAD_LETTER_QUEUE_URL": "https://queues.test/dead-letter",
    "SCRIBEFLEET_TABLE_NAME": "ledger",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing but what every fleet must set."""
    for field in Settings.model_fields:
        monkeypatch.delenv((ENV_PREFIX + field).upper(), raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def complaint() -> list[str]:
    with pytest.raises(ConfigurationError) as wrong:
        load_settings()
    return str(wrong.value).splitlines()


def test_the_required_variables_are_enough(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings()

    assert settings.bucket == "recordings"
    assert settings.lock_stale_minutes == 30
    assert settings.max_empty_polls == 3
    assert settings.long_poll_seconds == 20


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 3),
        ({"MAX_EMPTY_POLLS": "7"}, 7),
        ({"MIN_INSTANCES": "1"}, 180),
        ({"MIN_INSTANCES": "1", "LONG_POLL_SECONDS": "10"}, 360),
        ({"MIN_INSTANCES": "2", "MAX_EMPTY_POLLS": "500"}, 500),
    ],
)
def test_a_worker_ends_after_the_set_empty_polls_but_after_an_hour_of_them_where_instances_are_kept_without_work(
    environment: pytest.MonkeyPatch, variables: dict[str, str], expected: int
) -> None:
    for name, value in variables.items():
        environment.setenv(ENV_PREFIX + name, value)

    assert load_settings().empty_polls_before_end == expected


def test_exactly_these_variables_are_required() -> None:
    required = {name for name, field in Settings.model_fields.items() if field.is_required()}

    assert {(ENV_PREFIX + name).upper() for name in required} == set(REQUIRED)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_variable_is_one_line_that_names_it_and_says_what_it_takes(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.delenv(name)

    (line,) = complaint()

    field = Settings.model_fields[name.removeprefix(ENV_PREFIX).lower()]
    assert line == f"{name} is not set. It takes: {field.description}"


def test_several_missing_variables_are_a_line_each(environment: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        environment.delenv(name)

    assert sorted(line.split()[0] for line in complaint()) == sorted(REQUIRED)


def test_an_empty_variable_counts_as_missing(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SCRIBEFLEET_BUCKET", "")

    (line,) = complaint()
    assert line.startswith("SCRIBEFLEET_BUCKET is not set. ")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SCRIBEFLEET_LONG_POLL_SECONDS", "21", "less than or equal to 20"),
        ("SCRIBEFLEET_LONG_POLL_SECONDS", "soon", "valid integer"),
        ("SCRIBEFLEET_RECEIVE_MAX_JOBS", "0", "greater than or equal to 1"),
        ("SCRIBEFLEET_VISIBILITY_TIMEOUT_SECONDS", "43201", "less than or equal to 43200"),
        ("SCRIBEFLEET_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("SCRIBEFLEET_FLEET_NAME", "two words", "match pattern"),
        ("SCRIBEFLEET_LOCK_ENABLED", "perhaps", "valid boolean"),
        ("SCRIBEFLEET_PRICE_USD_PER_HOUR", "-1", "greater than or equal to 0"),
        ("SCRIBEFLEET_PRICE_USD_PER_HOUR", "nan", ""),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_says_why(
    environment: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    environment.setenv(name, value)

    (line,) = complaint()

    assert line.startswith(f"{name} is wrong (")
    assert why in line
    assert ". It takes: " in line


def test_variables_of_other_programs_are_none_of_ours(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SCRIBEFLEET_SOMETHING_NEWER", "1")
    environment.setenv("LOG_LEVEL", "error")

    assert load_settings().log_level == "info"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_settings_cannot_be_changed(environment: pytest.MonkeyPatch, name: str) -> None:
    settings = load_settings()

    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, getattr(settings, name))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_field_says_what_it_takes(name: str) -> None:
    description = Settings.model_fields[name].description

    assert description
    assert description.endswith(".")


UNITS = {"seconds": "Seconds", "minutes": "Minutes", "ms": "Milliseconds", "usd_per_hour": "USD an hour"}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_unit_in_a_name_is_the_one_in_its_description(name: str) -> None:
    description = Settings.model_fields[name].description or ""
    units = [word for ending, word in UNITS.items() if name.endswith(f"_{ending}")]

    assert all(unit in description for unit in units)


@pytest.mark.parametrize(
    "name", [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]
)
def test_every_number_has_a_lower_and_an_upper_bound_that_hold_its_default(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    schema = Settings.model_json_schema()["properties"][name]

    assert {"minimum", "exclusiveMinimum"} & set(schema)
    assert "maximum" in schema
    assert schema.get("minimum", schema.get("exclusiveMinimum")) <= schema["default"] <= schema["maximum"]
    environment.setenv((ENV_PREFIX + name).upper(), str(schema["maximum"] + 1))
    (line,) = complaint()
    assert line.startswith((ENV_PREFIX + name).upper())


def test_a_fleet_whose_instances_come_from_a_group_names_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SCRIBEFLEET_CAPACITY_PROVIDER", "asg")

    (line,) = complaint()

    assert line.startswith("SCRIBEFLEET_AUTO_SCALING_GROUP is wrong (")
    environment.setenv("SCRIBEFLEET_AUTO_SCALING_GROUP", "workers")
    assert load_settings().auto_scaling_group == "workers"
