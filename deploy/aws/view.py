"""How deploying and removing look on a terminal. Says what it is given; decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.aws.changes import Change
from deploy.aws.deploying import Step
from deploy.aws.progress import Event
from deploy.aws.removing import Inventory

_COLOURS = {"Add": "green", "Remove": "red", "yes": "red", "maybe": "yellow"}


class View:
    """Writes for people: progress to stderr, results to stdout (to stderr, too, when stdout is for a machine)."""

    def __init__(self, *, for_machine: bool) -> None:
        self._progress = Console(stderr=True)
        self._result = self._progress if for_machine else Console()

    def say(self, line: str, style: str = "") -> None:
        self._result.print(Text(line, style=style))

    @contextmanager
    def steps(self) -> Iterator[Step]:
        """Show what is being done: as one changing line on a terminal, as lines elsewhere."""
        if not self._progress.is_terminal:
            yield lambda text: self._progress.print(Text(f"{text} ..."))
            return
        with self._progress.status("") as status:
            yield lambda text: status.update(Text(f"{text} ..."))

    def event(self, event: Event) -> None:
        style = "red" if event.is_failure else "green" if event.status.endswith("_COMPLETE") else ""
        line = Text(f"{event.at:%H:%M:%S}  ")
        line.append(f"{event.status:<28}", style=style)
        line.append(f"{event.resource}  {event.kind}")
        if event.reason and event.is_failure:
            line.append(f"\n          {event.reason}", style=style)
        self._progress.print(line, soft_wrap=True)

    def changes(self, changes: Sequence[Change], warnings: Sequence[str], notes: Sequence[str]) -> None:
        # A fleet that is new has nothing to replace: two columns less, and the rest fits into a terminal.
        details = any(change.replacement != "no" or change.causes for change in changes)
        table = Table(title=f"{len(changes)} changes")
        for column in ("action", "resource", "type", *(("replaced", "because of") if details else ())):
            table.add_column(column, overflow="fold")
        for change in changes:
            replaced = change.replacement if change.replacement != "no" else ""
            what = (Text(change.action, style=_COLOURS.get(change.action, "")), change.resource, change.kind)
            why = (Text(replaced, style=_COLOURS.get(replaced, "")), ", ".join(change.causes))
            table.add_row(*what, *(why if details else ()))
        if changes:
            self._result.print(table)
        for note in notes:
            self.say(f"Note: {note}.")
        for warning in warnings:
            self.say(f"Warning: {warning}.", "yellow")

    def outputs(self, outputs: Mapping[str, str]) -> None:
        table = Table("output", "value")
        for name, value in sorted(outputs.items()):
            table.add_row(name, Text(value, overflow="fold"))
        self._result.print(table)

    def inventory(self, inventory: Inventory, *, delete_data: bool) -> None:
        table = Table("resource", "type", "name", "what happens")
        for resource in inventory.resources:
            stays = resource.stays and not delete_data
            fate = Text("stays") if stays else Text("goes", style="red")
            table.add_row(resource.logical_id, resource.kind, Text(resource.physical_id, overflow="fold"), fate)
        if inventory.resources:
            self._result.print(table)
        if inventory.code_keys:
            self.say(f"{len(inventory.code_keys)} objects of code in {inventory.code_bucket} go.")
        if inventory.bucket and not delete_data:
            self.say(f"The recordings and transcripts in {inventory.bucket} stay.")
