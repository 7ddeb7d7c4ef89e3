"""The dry run: sees what a provider sees, changes nothing, and tells what a fleet without trouble would have done."""

from datetime import datetime

import structlog

from autoscaler.model import ActionOutcome, Instance
from autoscaler.providers.contract import CapacityProvider, ProviderView
from shared.clock import iso

log = structlog.get_logger()


class DryRunPool:
    """Does nothing; `real` lends it its eyes."""

    def __init__(self, real: CapacityProvider | None = None) -> None:
        self._real = real

    def see(self, found: tuple[Instance, ...]) -> ProviderView:
        return self._real.see(found) if self._real else ProviderView(found)

    def start(self, candidates: tuple[str, ...], count: int, now: datetime) -> ActionOutcome:
        log.debug("dry_run_start", instances=candidates[:count], at=iso(now))
        return ActionOutcome(started=candidates[:count])

    def stop(self, instance_id: str) -> ActionOutcome:
        log.debug("dry_run_stop", instance=instance_id)
        return ActionOutcome(stopped=(instance_id,))

    def hold_back(self) -> ActionOutcome:
        return ActionOutcome()
