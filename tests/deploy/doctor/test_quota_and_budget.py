from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from autoscaler.record import TickRecord
from deploy.doctor.budget import budget_finding, look_at_budget, seconds_today
from deploy.doctor.quota import look_at_quota, quota_finding

if TYPE_CHECKING:
    from tests.deploy.doctor.conftest import Patient, Seen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("allowed", "status", "seen"),
    [
        (0, "failure", "0 vCPUs of G: not one g4dn.xlarge can start"),
        (3, "failure", "3 vCPUs of G: not one g4dn.xlarge can start"),
        (8, "warning", "8 vCPUs of G: 2 g4dn.xlarge at a time, the fleet wants up to 3"),
        (12, "ok", "12 vCPUs of G: enough for 3 g4dn.xlarge"),
    ],
)
def test_a_quota_is_compared_with_what_all_instances_need(allowed: float, status: str, seen: str) -> None:
    found = quota_finding("G", allowed, 4, "g4dn.xlarge", 3)

    assert (found.status, found.seen) == (status, seen)
    assert found.remedy.startswith("request 12 vCPUs for G") or status == "ok"


def test_given_an_account_without_gpu_quota_then_it_is_a_failure(patient: "Patient", wrong: "Seen") -> None:
    # given: Service Quotas, of which the emulator knows only VPC's
    fleet = patient.with_resources(InstanceType="g4dn.xlarge")
    with Stubber(fleet.clients.quotas) as stubbed:
        stubbed.add_response(
            "get_service_quota", {"Quota": {"Value": 0.0}}, {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}
        )
        # when
        ((status, seen),) = wrong(look_at_quota(fleet))

    assert status == "failure"
    assert seen.endswith("(L-DB2E81BA): not one g4dn.xlarge can start")


def test_given_a_type_that_the_region_does_not_have_then_it_says_so(patient: "Patient", wrong: "Seen") -> None:
    fleet = patient.with_resources(InstanceType="g99.xlarge")

    assert wrong(look_at_quota(fleet)) == [("failure", "us-east-1 has no g99.xlarge")]


@pytest.mark.parametrize(
    ("settings", "hours", "status", "seen"),
    [
        ({}, 2, "ok", "2.00 GPU hours, 1.00 USD today; no daily limit is set, so 24.00 USD a day at the very most"),
        ({"daily_gpu_hours": 4}, 2, "ok", "2.00 GPU hours, 1.00 USD today, of 4 GPU hours"),
        ({"daily_cost_usd": 1.5}, 2, "ok", "2.00 GPU hours, 1.00 USD today, of 1.5 USD"),
        ({"daily_gpu_hours": 2}, 2, "warning", "2.00 GPU hours, 1.00 USD today: the daily budget is spent and nothing"),
        ({"daily_cost_usd": 1}, 2, "warning", "2.00 GPU hours, 1.00 USD today: the daily budget is spent and nothing"),
        (
            {"daily_cost_usd": 1, "budget_override_until": NOON + timedelta(hours=1)},
            2,
            "warning",
            "2.00 GPU hours, 1.00 USD today: beyond the daily budget, which is set aside until 2026-03-01 13:00",
        ),
        (
            {"daily_cost_usd": 1, "budget_override_until": NOON},
            2,
            "warning",
            "2.00 GPU hours, 1.00 USD today: the daily budget is spent and nothing",
        ),
    ],
)
def test_a_budget_is_judged_by_what_ran_today(
    settings: dict[str, object], hours: float, status: str, seen: str, patient: "Patient"
) -> None:
    made = patient.cloud.settings_with(price_usd_per_hour=0.5, max_instances=2, **settings)

    found = budget_finding(made, hours * 3600, NOON)

    assert found.status == status
    assert found.seen.startswith(seen)


def test_what_ran_yesterday_is_not_counted_today() -> None:
    record = TickRecord(gpu_seconds=3600, counted_until=NOON)

    assert seconds_today(record, NOON + timedelta(hours=11)) == 3600
    assert seconds_today(record, NOON + timedelta(hours=12)) == 0


def test_given_a_fleet_that_has_never_ticked_then_nothing_is_spent(patient: "Patient", wrong: "Seen") -> None:
    assert wrong(look_at_budget(patient.fleet)) == []
