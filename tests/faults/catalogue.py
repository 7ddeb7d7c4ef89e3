"""The matrix: all faults of the modules in `matrix`, in the order of groups, each name once."""

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from tests.faults import matrix
from tests.faults.harness.scenario import Fault


def all_faults() -> tuple[Fault, ...]:
    """Every fault; the run without faults comes first, as all others are compared with it.

    Raises:
        ValueError: two faults have one name.
    """
    names = sorted(
        (module.name for module in pkgutil.iter_modules(matrix.__path__)), key=lambda n: (n != "baseline", n)
    )
    modules = [importlib.import_module(f"{matrix.__name__}.{name}") for name in names]
    return unique(fault for module in modules for fault in getattr(module, "FAULTS", ()))


def unique(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """The faults.

    Raises:
        ValueError: two of them have one name, so that neither could be replayed by it.
    """
    found = tuple(faults)
    twice = [name for name, times in Counter(fault.name for fault in found).items() if times > 1]
    if twice:
        raise ValueError(f"more than one fault is called {', '.join(twice)}")
    return found


def chosen(faults: Iterable[Fault], patterns: Sequence[str]) -> tuple[Fault, ...]:
    """The faults whose name or group fits one of the shell patterns; all of them without patterns.

    Raises:
        LookupError: a pattern fits none.
    """
    found = tuple(faults)
    idle = [pattern for pattern in patterns if not any(_fits(fault, pattern) for fault in found)]
    if idle:
        raise LookupError(f"no fault is called {', '.join(idle)}")
    return tuple(fault for fault in found if not patterns or any(_fits(fault, pattern) for pattern in patterns))


def find(name: str) -> Fault:
    """The fault of a name.

    Raises:
        LookupError: there is none.
    """
    for fault in all_faults():
        if fault.name == name:
            return fault
    raise LookupError(f"no fault is called {name}")


def _fits(fault: Fault, pattern: str) -> bool:
    return fnmatchcase(fault.name, pattern) or fnmatchcase(fault.group, pattern)
