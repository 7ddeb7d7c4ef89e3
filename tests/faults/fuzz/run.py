"""Runs the targets: a structured part that Hypothesis makes, and the mass of mutations; both from one seed."""

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import Any, Final, NoReturn

import hypothesis
import structlog
from hypothesis import HealthCheck, Phase, given

from tests.faults.fuzz.catalogue import TARGETS
from tests.faults.fuzz.judge import Failure, Tally
from tests.faults.fuzz.mutation import mutated
from tests.faults.fuzz.target import Target

# Hypothesis takes a millisecond for an input, the mutations a fiftieth.
_STRUCTURED_SHARE: Final = 0.04
# A target is run in parts, so that two processes share the longest one, too.
_PART_INPUTS: Final = 5_000


@dataclass(frozen=True, slots=True)
class FuzzOutcome:
    """What the inputs of one target came to.

    Attributes:
        refused: in a way that the product documents.
        failures: one for each cause, with the smallest input that shows it.
        seconds: of processor time.
    """

    target: str
    inputs: int
    accepted: int
    refused: int
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def failed(self) -> int:
        """How many inputs failed."""
        return sum(failure.inputs for failure in self.failures)

    @property
    def holds(self) -> bool:
        return not self.failures


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a target's inputs: those from `first` on. Part of a run with the same seed, each is always the same."""

    target: str
    first: int
    inputs: int
    seed: int


def fuzz_all(
    inputs_each: int,
    seed: int,
    processes: int = 1,
    targets: Sequence[Target] = TARGETS,
    on_part: Callable[[Part], None] = lambda _: None,
) -> list[FuzzOutcome]:
    """Give each target its inputs.

    Args:
        inputs_each: for each target; some get a share of it only, at least one.
        seed: the same one gives the same inputs.
        processes: how many work at the same time.
        on_part: told of each part that is done, in this process.
    """
    parts = list(_parts(targets, inputs_each, seed))
    outcomes: dict[str, list[FuzzOutcome]] = {target.name: [] for target in targets}
    for part, outcome in zip(parts, _outcomes(parts, processes), strict=True):
        outcomes[part.target].append(outcome)
        on_part(part)
    return [_together(name, some) for name, some in outcomes.items()]


def fuzz_part(part: Part) -> FuzzOutcome:
    """Give one part of a target's inputs to it."""
    target = named(part.target)
    tally, began = Tally(target), time.process_time()
    with _silence():
        _take_structured(tally, round(part.inputs * _STRUCTURED_SHARE), part)
        samples = target.samples()
        for number in range(part.first + tally.inputs, part.first + part.inputs):
            random = Random(f"{part.seed}/{target.name}/{number}")
            tally.take(mutated(random, samples, target.kind, target.tokens))
    failures = tuple(tally.failures.values())
    return FuzzOutcome(target.name, tally.inputs, tally.accepted, tally.refused, failures, time.process_time() - began)


def named(name: str) -> Target:
    """The target of that name.

    Raises:
        KeyError: there is none.
    """
    return {target.name: target for target in TARGETS}[name]


@contextmanager
def _silence() -> Iterator[None]:
    """Without the product's log: a line for each strange input would bury the table."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: MutableMapping[str, Any]) -> NoReturn:
    raise structlog.DropEvent


def _parts(targets: Sequence[Target], inputs_each: int, seed: int) -> Iterator[Part]:
    for target in targets:
        inputs = max(1, round(inputs_each * target.share))
        count = ceil(inputs / _PART_INPUTS)
        for place in range(count):
            first, end = inputs * place // count, inputs * (place + 1) // count
            yield Part(target.name, first, end - first, seed)


def _outcomes(parts: Sequence[Part], processes: int) -> Iterator[FuzzOutcome]:
    if processes == 1:
        yield from map(fuzz_part, parts)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(fuzz_part, parts)


def _take_structured(tally: Tally, inputs: int, part: Part) -> None:
    """Hypothesis makes some more than it is asked for, or fewer where there are no more: what it made is counted."""
    if not inputs:
        return

    def take(data: bytes) -> None:
        if tally.inputs < inputs:
            tally.take(data)

    settings = hypothesis.settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=(Phase.generate,),  # what fails is made smaller by our own means, in the form in which it is kept
        suppress_health_check=list(HealthCheck),
        derandomize=False,
    )
    seed = Random(f"{part.seed}/{part.target}/{part.first}/structured").getrandbits(64)
    hypothesis.seed(seed)(settings(given(tally.target.structured())(take)))()


def _together(name: str, outcomes: Sequence[FuzzOutcome]) -> FuzzOutcome:
    failures: dict[object, Failure] = {}
    for failure in (failure for outcome in outcomes for failure in outcome.failures):
        known = failures.setdefault(failure.cause, failure)
        if known is not failure:
            known.inputs += failure.inputs
            known.data = min(known.data, failure.data, key=len)
    return FuzzOutcome(
        name,
        sum(outcome.inputs for outcome in outcomes),
        sum(outcome.accepted for outcome in outcomes),
        sum(outcome.refused for outcome in outcomes),
        tuple(failures.values()),
        sum(outcome.seconds for outcome in outcomes),
    )
