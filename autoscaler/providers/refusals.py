"""Reads AWS's refusals to start or stop: which of them pass, which leave open what happened, which need a person."""

from enum import Enum

from botocore.exceptions import ClientError

from shared.errors import cause_of, error_code, http_status


class Refusal(Enum):
    """What a refused call means for the instances that it named."""

    INSTANCE = "cannot do it now; another instance may"
    FLEET = "no instance can do it now"
    UNKNOWN = "it may have happened all the same"
    PERSON = "someone has to look"


# EC2 User Guide, "Error codes for the Amazon EC2 API": no room in this zone, over the account's limit for the type, or
# the instance is between two states. Another instance may do now, and this one later.
_INSTANCE = frozenset(
    {
        "IncorrectInstanceState",
        "InstanceLimitExceeded",
        "InsufficientInstanceCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "VcpuLimitExceeded",
    }
)
# Too many calls, and Auto Scaling's two ways to say that it is busy with the group ("Common errors" and the errors of
# SetDesiredCapacity in the API reference). Nothing was done, and the next call would hear the same.
_FLEET = frozenset(
    {
        "RequestLimitExceeded",
        "ResourceContention",
        "ResourceContentionFault",
        "ScalingActivityInProgress",
        "ScalingActivityInProgressFault",
        "Throttling",
    }
)


def refusal(error: Exception) -> Refusal:
    """What AWS's error means; `error` is one of `AWS_ERRORS`."""
    code = error_code(error)
    if code in _INSTANCE:
        return Refusal.INSTANCE
    if code in _FLEET:
        return Refusal.FLEET
    if not isinstance(error, ClientError) or http_status(error) >= 500:
        return Refusal.UNKNOWN
    return Refusal.PERSON


def code_of(error: Exception) -> str:
    """AWS's code, or the error's name where no answer came."""
    return cause_of(error)
