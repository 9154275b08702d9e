"""What the errors of stores mean, whichever package raises them."""

import errno

from pipelines.urls import without_password

NO_BUCKET = "there is no such bucket at this endpoint; check both"

_ADVICE = {
    "no credentials": (
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "DefaultCredentialsError",
    ),
    "access denied": (
        "PermissionError",
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    ),
    "no answer from the server": (
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "HTTPClientError",
        "ConnectionError",
        "TimeoutError",
        "FSTimeoutError",
    ),
}
"""What went wrong, by the names of errors and of the codes that servers answer with."""

_ERRNO = {
    "no credentials": errno.EACCES,
    "access denied": errno.EACCES,
    "no answer from the server": errno.ETIMEDOUT,
}


def explain(error: Exception) -> tuple[int, str]:
    """Return a number of `errno` and a sentence for an error of any package behind fsspec."""
    # What a server of S3 answered; fsspec raises a common error because of it.
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code", "") if isinstance(response, dict) else ""
    if code in {"PreconditionFailed", "ConditionalRequestConflict"}:
        return errno.EEXIST, "written by somebody else at the same time"
    if code == "NoSuchBucket":
        return errno.ENOENT, NO_BUCKET
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT, "no such file"
    if isinstance(error, FileExistsError):
        return errno.EEXIST, "exists already"
    names = {code, *(kind.__name__ for kind in type(error).__mro__)}
    # Some packages name the whole URL in their errors.
    said = without_password(str(error).strip().partition("\n")[0]) or type(error).__name__
    for reason, known in _ADVICE.items():
        if not names.isdisjoint(known):
            return _ERRNO[reason], f"{reason}: {said}"
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    return number, said


def is_out_of_reach(error: Exception) -> bool:
    """Tell whether an error says that a place cannot be read now, not that its content is wrong."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError)
    return explain(error)[0] in {errno.EACCES, errno.ETIMEDOUT}
