"""Deploys a fleet: looks, packages, proposes a change set, executes it when told to.

Whoever asks for a proposal shows it and decides. What a proposal made and is not executed is taken away again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy.aws import artefacts, changeset
from deploy.aws.artefacts import Builders
from deploy.aws.changes import Change, warnings
from deploy.aws.changeset import ChangeSet
from deploy.aws.clients import Account, DeployClients
from deploy.aws.limits import LimitFinding
from deploy.aws.parameters import Parameter, check_names, choose
from deploy.aws.progress import Event, check_outcome, follow, newest_event
from deploy.aws.search import find
from deploy.aws.stack import StackState, look, way_to_deploy
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.literals import ChangeSetTypeType

Step = Callable[[str], None]
"""Told what is being done, in a few words."""


_OWN = frozenset({"CodeBucket", *artefacts.CODE_KEYS})
_ROOT = frozenset({"RootDeviceName", "RootVolumeGiB"})


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for.

    Attributes:
        fleet: name of the fleet and of its stack.
        given: parameters of the template.
        email: address that alarms go to; empty leaves it as it is.
        code_bucket: another bucket for the code than the usual one.
        dry_run: leave nothing behind.
    """

    fleet: str
    given: Mapping[str, str] = field(default_factory=dict)
    email: str = ""
    code_bucket: str = ""
    dry_run: bool = False
    builders: Builders = field(default_factory=Builders)


@dataclass(slots=True)
class Proposal:
    """What a deployment would do.

    Attributes:
        change_set: None when nothing would change.
        notes: lines for the person who decides.
    """

    account: Account
    stack: StackState
    change_set: ChangeSet | None
    notes: tuple[str, ...]
    executed: bool = False

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.change_set.changes if self.change_set else ()

    @property
    def warnings(self) -> list[str]:
        return warnings(self.changes)

    def execute(self, aws: DeployClients, show: Callable[[Event], None]) -> StackState:
        """Make it so, showing each event; the stack afterwards.

        Raises:
            DeploymentError: a resource failed, and CloudFormation has taken everything back.
        """
        if self.change_set is None:
            return self.stack
        self.executed = True
        last = changeset.execute(aws, self.change_set)
        events = []
        for event in follow(aws, self.change_set.stack_id, last):
            show(event)
            events.append(event)
        check_outcome(events, self.stack.name)
        return look(aws, self.stack.name)


@contextmanager
def proposed(aws: DeployClients, account: Account, request: Request, step: Step) -> Iterator[Proposal]:
    """A proposal, for as long as the block lasts; at its end what was made for it goes, unless it was executed.

    A dry run uploads no code, only the template, and removes it again.

    Raises:
        DeploymentError: the deployment cannot be done, with the remedy.
        ConfigurationError: the functions cannot be packaged, or the request is wrong.
    """
    stack = look(aws, request.fleet)
    kind: ChangeSetTypeType = "UPDATE" if way_to_deploy(stack, replace=False) == "update" else "CREATE"
    bucket = request.code_bucket or stack.parameters.get("CodeBucket") or artefacts.bucket_name(account, aws.region)
    with ExitStack() as undo:
        step("looking around in the account")
        template_url = _upload_template(aws, account, request, bucket, undo)
        declared = _declared(aws, template_url)
        given = _given(request, declared)
        finding = find(aws, account, declared, stack.parameters, given)
        step("packaging")
        code = artefacts.build_code(request.fleet, request.builders, with_host=_installs_hosts(stack, given))
        if not request.dry_run:
            step(f"uploading to {bucket}")
            for artefact in code.values():
                artefacts.upload(aws, account, bucket, artefact)
        step("asking CloudFormation what would change")
        own = {"FleetName": request.fleet, "CodeBucket": bucket}
        own |= {parameter: artefact.key for parameter, artefact in code.items()}
        parameters = choose(
            declared.values(), stack.parameters, _following(given, finding) | given | own, finding.parameters
        )
        if not stack.identifier:
            undo.callback(_remove_shell, aws, request.fleet)
        change_set = changeset.create(aws, request.fleet, kind, template_url, parameters)
        if change_set:
            undo.callback(changeset.discard, aws, change_set.identifier, change_set.stack_id)
        proposal = Proposal(account, stack, change_set, finding.notes)
        try:
            yield proposal
        finally:
            if proposal.executed:
                undo.pop_all()


def remove_failed(aws: DeployClients, stack: StackState, show: Callable[[Event], None]) -> None:
    """Delete a stack whose creation failed, so that a new one can take its name."""
    events = []
    last = newest_event(aws, stack.identifier)
    aws.cloudformation.delete_stack(StackName=stack.identifier)
    for event in follow(aws, stack.identifier, last):
        show(event)
        events.append(event)
    check_outcome(events, stack.name)


def _upload_template(aws: DeployClients, account: Account, request: Request, bucket: str, undo: ExitStack) -> str:
    """Put the template where CloudFormation can read it; its address. A dry run takes it away in the end."""
    artefact = artefacts.template_artefact(request.fleet)
    if artefacts.ensure_bucket(aws, account, bucket) and request.dry_run:
        undo.callback(aws.s3.delete_bucket, Bucket=bucket, ExpectedBucketOwner=account.number)
    if artefacts.upload(aws, account, bucket, artefact) and request.dry_run:
        undo.callback(artefacts.remove, aws, account, bucket, [artefact.key])
    return artefacts.template_url(aws.region, bucket, artefact)


def _declared(aws: DeployClients, template_url: str) -> dict[str, Parameter]:
    """The template's parameters, as CloudFormation reads them: this side needs no parser of its dialect of YAML."""
    summary = aws.cloudformation.get_template_summary(TemplateURL=template_url)
    parameters = (Parameter(item["ParameterKey"], item.get("DefaultValue")) for item in summary["Parameters"])
    return {parameter.name: parameter for parameter in parameters}


def _given(request: Request, declared: Mapping[str, Parameter]) -> dict[str, str]:
    given = dict(request.given)
    if given.pop("FleetName", request.fleet) != request.fleet:
        raise ConfigurationError("the fleet's name is that of its stack: give it with --fleet, not as a parameter")
    for name in _OWN & given.keys():
        raise ConfigurationError(
            f"the parameter {name} is set by the deployment itself (--code-bucket chooses a bucket)"
        )
    if request.email:
        given["AlarmEmail"] = request.email
    check_names(declared, given)
    return given


def _installs_hosts(stack: StackState, given: Mapping[str, str]) -> bool:
    """Whether instances install scribefleet at their first boot.

    They do on an AMI that this deployment has chosen, and keep on doing what the fleet's do. An AMI that a person
    names has it on it.
    """
    if "ImageId" in given:
        return False
    return bool(stack.parameters.get(artefacts.HOST_KEY, "")) if stack.exists else True


def _following(given: Mapping[str, str], finding: LimitFinding) -> dict[str, str]:
    """What changes with a new AMI although the stack has a value for it: root device, volume, and no installation."""
    if "ImageId" not in given:
        return {}
    return {name: finding.parameters[name] for name in _ROOT & finding.parameters.keys()} | {artefacts.HOST_KEY: ""}


def _remove_shell(aws: DeployClients, fleet: str) -> None:
    """Delete the empty stack that a change set for a new fleet has made, if it has."""
    stack = look(aws, fleet)
    if stack.identifier and not stack.exists:
        aws.cloudformation.delete_stack(StackName=stack.identifier)
