"""Which value each parameter of the template gets."""

import json
from pathlib import Path

import pytest

from deploy.aws.parameters import Parameter, choose, read_file, read_pairs
from deploy.aws.problems import DeploymentError
from shared.errors import ConfigurationError

TEMPLATE = [Parameter("Size", "1"), Parameter("Image", None)]


def test_what_is_given_wins_over_what_the_stack_has_and_that_over_what_was_found() -> None:
    chosen = choose(TEMPLATE, {"Size": "2", "Image": "ami-old"}, {"Size": "3"}, {"Size": "4", "Image": "ami-new"})
    assert chosen == [
        {"ParameterKey": "Size", "ParameterValue": "3"},
        {"ParameterKey": "Image", "UsePreviousValue": True},
    ]


def test_what_nobody_has_a_value_for_is_left_to_the_templates_default() -> None:
    assert choose(TEMPLATE, {}, {}, {"Image": "ami-new"}) == [{"ParameterKey": "Image", "ParameterValue": "ami-new"}]


def test_a_parameter_that_the_template_no_longer_has_is_not_sent() -> None:
    assert choose([TEMPLATE[0]], {"Size": "2", "Gone": "x"}, {}, {}) == [
        {"ParameterKey": "Size", "UsePreviousValue": True}
    ]


def test_a_missing_value_says_how_to_give_it() -> None:
    with pytest.raises(DeploymentError, match="--parameter Image="):
        choose(TEMPLATE, {}, {}, {})


def test_values_hold_any_text_behind_the_first_equals_sign() -> None:
    assert read_pairs(["A=b=c", "D="]) == {"A": "b=c", "D": ""}


@pytest.mark.parametrize("pair", ["A", "=b", ""])
def test_a_pair_without_a_name_or_an_equals_sign_is_wrong_use(pair: str) -> None:
    with pytest.raises(ConfigurationError, match="Key=Value"):
        read_pairs([pair])


@pytest.mark.parametrize(
    "content",
    [
        {"Size": 3, "LockEnabled": False, "SubnetIds": ["subnet-1", "subnet-2"]},
        [
            {"ParameterKey": "Size", "ParameterValue": "3"},
            {"ParameterKey": "LockEnabled", "ParameterValue": "false"},
            {"ParameterKey": "SubnetIds", "ParameterValue": "subnet-1,subnet-2"},
        ],
    ],
)
def test_a_file_is_an_object_or_the_list_of_the_aws_command_line(tmp_path: Path, content: object) -> None:
    path = tmp_path / "parameters.json"
    path.write_text(json.dumps(content))
    assert read_file(path) == {"Size": "3", "LockEnabled": "false", "SubnetIds": "subnet-1,subnet-2"}


@pytest.mark.parametrize("content", ["not json", '"text"', '[{"Key": "A"}]'])
def test_any_other_file_is_wrong_use(tmp_path: Path, content: str) -> None:
    path = tmp_path / "parameters.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"parameters\.json"):
        read_file(path)
