"""The simulated lock: live sessions take it and let go of it, and the time goes on without the waits meanwhile."""

from collections.abc import Callable

from autoscaler.simulate.world.agenda import Agenda, moment_of
from shared.state.lock import Holder, LockState


class LiveSessions:
    """The live sessions that hold the lock now.

    Args:
        on_taken: told when the first one takes it.
        on_released: told when the last one lets go.
    """

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._since: list[float] = []
        self._held_before = 0.0
        self._held_since = 0.0
        self.on_taken: list[Callable[[], None]] = []
        self.on_released: list[Callable[[], None]] = []

    @property
    def held(self) -> bool:
        return bool(self._since)

    @property
    def free_time(self) -> float:
        """Seconds since the beginning, without those in which the lock was held."""
        return (self._held_since if self._since else self._agenda.now) - self._held_before

    def begin(self) -> None:
        """A live session takes the lock."""
        self._since.append(self._agenda.now)
        if len(self._since) == 1:
            self._held_since = self._agenda.now
            for listener in self.on_taken:
                listener()

    def end(self) -> None:
        """The live session that has held the lock longest lets go."""
        self._since.pop(0)
        if not self._since:
            self._held_before += self._agenda.now - self._held_since
            for listener in self.on_released:
                listener()

    def state(self) -> LockState:
        """What a look at the lock sees."""
        return LockState(
            tuple(
                Holder(user_id="simulated", session_id=f"live-{since:.0f}", timestamp=moment_of(since))
                for since in self._since
            )
        )
