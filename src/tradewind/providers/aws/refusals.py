"""What EC2's errors mean for us: try again, ask elsewhere, give up, or mend the settings."""

from __future__ import annotations

from tradewind.errors import Misuse, NoCapacity, Permanent, Temporary, TradewindError, Unreachable

NO_ROOM = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
}
"""The pool has none now, or not at that price: no lease, and no error."""
_QUOTA = {
    "MaxSpotInstanceCountExceeded": "spot",
    "VcpuLimitExceeded": "vCPU",
    "InstanceLimitExceeded": "instance",
}
_THROTTLED = {
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "EC2ThrottledException",
    "BandwidthLimitExceeded",
}
_BROKEN = {
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "502",
    "503",
    "504",
    "InvalidInstanceID.NotFound",
}
"""The last: what was rented a moment ago is not known everywhere yet."""
_FIXES = {
    "UnauthorizedOperation": ("profile", "Allow the operation in the IAM policy of these credentials."),
    "AccessDenied": ("profile", "Allow the operation in the IAM policy of these credentials."),
    "AuthFailure": ("profile", "Check the credentials, and the clock of this machine."),
    "InvalidClientTokenId": ("profile", "Check the access key."),
    "SignatureDoesNotMatch": ("profile", "Check the secret key, and the clock of this machine."),
    "ExpiredToken": ("profile", "Renew the session's credentials."),
    "RequestExpired": ("profile", "Renew the credentials, or set the clock of this machine."),
    "OptInRequired": ("region", "Enable the region, or the service, for the account."),
    "PendingVerification": ("profile", "The account is being verified: wait for AWS's mail."),
    "InvalidAMIID.NotFound": ("image", "Give an image that is in this region."),
    "InvalidAMIID.Malformed": ("image", "Give an image id such as ami-0123456789abcdef0."),
    "InvalidAMIID.Unavailable": ("image", "Choose an image that is available."),
    "InvalidKeyPair.NotFound": ("key", "Import the key pair into this region, or leave it out."),
    "InvalidGroup.NotFound": ("security_groups", "Give groups of this region and network."),
    "InvalidSecurityGroupID.NotFound": ("security_groups", "Give groups of this region and network."),
    "InvalidSubnetID.NotFound": ("subnets", "Give subnets of this region."),
    "VPCIdNotSpecified": ("subnets", "There is no default network: name a subnet for each zone."),
    "MissingInput": ("subnets", "There is no default network: name a subnet for each zone."),
    "InvalidSubnet.Range": ("subnets", "Use a subnet with more free addresses."),
    "InsufficientFreeAddressesInSubnet": ("subnets", "Use a subnet with more free addresses."),
    "InvalidInstanceType": ("types", "Choose types that the region has."),
    "InvalidParameterCombination": ("types", "The image and the type do not go together."),
}
"""The setting at fault, and what to do about it."""
QUOTA_DELAY = 300.0
"""Seconds after which a reached quota is tried again: something may have ended."""
THROTTLE_DELAY = 2.0


def translated(problem: Exception, operation: str, region: str) -> TradewindError:
    """What an exception of boto3 means, by the error code in it and the names of its classes."""
    names = {each.__name__ for each in type(problem).__mro__}
    source = f"provider aws, {region}, {operation}"
    if "ClientError" not in names:
        return _unanswered(problem, names, source)
    response = getattr(problem, "response", None) or {}
    error = response.get("Error", {})
    code, told = str(error.get("Code", "")), str(error.get("Message", "")).rstrip(". ")
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED:
        return Temporary(f"{source}: too many requests ({code})", THROTTLE_DELAY)
    if code in NO_ROOM:
        return NoCapacity(f"{source}: {told} ({code})")
    if code in _QUOTA:
        advice = "end something, or ask AWS for a higher quota"
        return Temporary(f"{source}: the account's {_QUOTA[code]} quota is reached: {advice}", QUOTA_DELAY)
    if code in _BROKEN or status >= 500:
        return Temporary(f"{source}: EC2 failed ({code}: {told})")
    if code in _FIXES:
        field, fix = _FIXES[code]
        return Misuse(f"{told} ({code})", source=source, field=field, fix=fix)
    if status == 400 and code.startswith(("Invalid", "Missing", "Unknown", "Malformed")):
        return Misuse(f"{told} ({code})", source=source, fix="Mend the settings.")
    return Permanent(f"{source}: {told} ({code})")


def code_of(problem: Exception) -> str:
    """The error code of EC2 in an exception of boto3; empty if it is none."""
    response = getattr(problem, "response", None) or {}  # boto3 has None where there was no answer
    return str(response.get("Error", {}).get("Code", ""))


def _unanswered(problem: Exception, names: set[str], source: str) -> TradewindError:
    if names & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return Misuse(
            "there are no AWS credentials",
            source=source,
            field="profile",
            fix="Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if names & {"ProfileNotFound", "ConfigParseError"}:
        return Misuse(str(problem), source=source, field="profile", fix="See: aws configure list-profiles")
    if names & {"InvalidRegionError", "NoRegionError", "UnknownRegionError"}:
        return Misuse(str(problem), source=source, field="region", fix="Give a region such as us-east-1.")
    if names & {"ParamValidationError", "ValidationError", "InvalidEndpointConfigurationError"}:
        return Misuse(" ".join(str(problem).split()), source=source, fix="Mend the settings.")
    if names & {"HTTPClientError", "ConnectionError", "TimeoutError", "OSError"}:
        return Unreachable(f"{source}: no answer ({type(problem).__name__})")
    if "ResponseParserError" in names:
        return Unreachable(f"{source}: an answer that is not EC2's, as of something between")
    return Permanent(f"{source}: {type(problem).__name__}: {problem}")
