"""The ways to say no. Each has a stable `code` and a sentence that is safe to show to anyone.

Refusal
├── MalformedRequest          the request cannot be read
│   ├── InvalidJson
│   ├── InvalidForm
│   ├── InvalidTokenRequest
│   ├── UnsupportedMediaType
│   ├── BodyTooLarge
│   └── BodyTimeout
├── InvalidInput              it can be read, and its fields are at fault (`faults`)
├── Unauthenticated           we do not know who is asking
│   ├── MissingCredentials
│   ├── InvalidRequest
│   ├── InvalidToken
│   ├── InvalidCredentials
│   └── InvalidClient         a service, not a person
├── InvalidGrant              the refresh token yields nothing
├── Forbidden
│   ├── CrossSiteRequest
│   ├── StaleForm
│   └── AccountDisabled
├── EmailTaken
├── NotFound
│   └── SessionNotFound
├── MethodNotAllowed          (`allowed`)
├── RateLimited               too often (`retry_after`, seconds)
├── Unavailable               try again (`retry_after`, seconds)
│   ├── DatabaseUnavailable
│   └── Busy
└── InternalError             the unforeseen
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldFault:
    """What is wrong with one field of the input."""

    field: str
    code: str
    message: str


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of the program
    """The service says no."""

    code: ClassVar[str]
    detail: ClassVar[str]
    oauth_error: ClassVar[str | None] = None
    """What OAuth clients decide by (RFC 6749 §5.2)."""

    @property
    def sentence(self) -> str:
        """What is shown of this one: `detail`, and more where this occurrence has more to tell."""
        return self.detail


class MalformedRequest(Refusal):
    """The request cannot be read."""

    code = "malformed_request"
    detail = "The request is not well-formed HTTP for this service."


class InvalidJson(MalformedRequest):
    """The body is not one JSON object in UTF-8."""

    code = "invalid_json"
    detail = "Send one JSON object in UTF-8, without duplicate keys, NaN or deep nesting."


class InvalidForm(MalformedRequest):
    """The body is not a form in UTF-8."""

    code = "invalid_form"
    detail = "Send an URL-encoded form in UTF-8, each field once."
    oauth_error = "invalid_request"


class InvalidTokenRequest(MalformedRequest):
    """A client's form lacks the token, or gives the client's credential in two ways (RFC 6749 §2.3)."""

    code = "invalid_token_request"
    detail = "Send one token, and the client's credential one way: as Authorization: Basic, or in the form."
    oauth_error = "invalid_request"


class UnsupportedMediaType(MalformedRequest):
    """The body is of a type or coding that this route does not read."""

    code = "unsupported_media_type"
    detail = "Send the body with the Content-Type that this route reads, and without a Content-Encoding."

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted

    @property
    def sentence(self) -> str:
        """What is shown: which Content-Type that is, too."""
        return f"{self.detail} That is {self.wanted}, in UTF-8."


class BodyTooLarge(MalformedRequest):
    """The body is over the limit."""

    code = "body_too_large"
    detail = "The body is too large: at most 16 KiB are read."


class BodyTimeout(MalformedRequest):
    """The body did not arrive in time."""

    code = "body_timeout"
    detail = "The body did not arrive in time: send it whole."


class InvalidInput(Refusal):
    """The input can be read, and its fields are at fault."""

    code = "invalid_input"
    detail = "Some fields are at fault: see errors."

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        super().__init__()
        self.faults = tuple(faults)


class Unauthenticated(Refusal):
    """We do not know who is asking."""

    code = "unauthenticated"
    detail = "Log in first."


class MissingCredentials(Unauthenticated):
    """No credentials were sent (RFC 6750 §3: the challenge then carries no error)."""

    code = "missing_credentials"
    detail = "This route needs an access token: send it as Authorization: Bearer."


class InvalidRequest(Unauthenticated):
    """The credentials are malformed (RFC 6750 §3.1 `invalid_request`)."""

    code = "invalid_request"
    detail = "Send exactly one Authorization header of the form: Bearer, a space, the token."


class InvalidToken(Unauthenticated):
    """The access token is not good (RFC 6750 §3.1 `invalid_token`); never said why."""

    code = "invalid_token"
    detail = "The access token is not valid: log in again."


class InvalidCredentials(Unauthenticated):
    """Unknown address or wrong password: the same answer for both."""

    code = "invalid_credentials"
    detail = "The e-mail address or the password is wrong."


class InvalidClient(Unauthenticated):
    """The credential of a service is missing or not good (RFC 6749 §5.2 `invalid_client`)."""

    code = "invalid_client"
    detail = "This needs the client_id and client_secret of a service: send them as Authorization: Basic."
    oauth_error = "invalid_client"


class InvalidGrant(Refusal):
    """The refresh token is not good (RFC 6749 §5.2 `invalid_grant`); never said why."""

    code = "invalid_grant"
    detail = "The refresh token is not valid: log in again."
    oauth_error = "invalid_grant"


class Forbidden(Refusal):
    """The request is understood, and not allowed."""

    code = "forbidden"
    detail = "This is not allowed."


class CrossSiteRequest(Forbidden):
    """Another site's page sent this."""

    code = "cross_site_request"
    detail = "This request came from another site's page, and is refused."


class StaleForm(Forbidden):
    """The form's token is missing, old or not this browser's."""

    code = "stale_form"
    detail = "This page was open for too long, or cookies are off. Nothing was done: please try again."


class AccountDisabled(Forbidden):
    """The account was closed by an operator: said only to who knows its password."""

    code = "account_disabled"
    detail = "This account is disabled: ask who runs this service."


class EmailTaken(Refusal):
    """An account with this address exists."""

    code = "email_taken"
    detail = "An account with this e-mail address exists already."


class NotFound(Refusal):
    """There is nothing at this path."""

    code = "not_found"
    detail = "There is nothing at this address."


class SessionNotFound(NotFound):
    """No such session, or not of this account: the same answer for both."""

    code = "session_not_found"
    detail = "You have no session with this id."


class MethodNotAllowed(Refusal):
    """The path exists, the method does not."""

    code = "method_not_allowed"
    detail = "This address does not answer to that method: see Allow."

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = tuple(sorted(allowed))


class RateLimited(Refusal):
    """Tried too often: the `limit` grants `burst` in `seconds`, and the next in `retry_after` seconds.

    Without `seconds` it has no window of one length: each further one waits longer than the one before.
    """

    code = "rate_limited"
    detail = "There were too many attempts."

    def __init__(self, limit: str, burst: int, seconds: int | None, retry_after: int) -> None:
        super().__init__()
        self.limit = limit
        self.burst = burst
        self.seconds = seconds
        self.retry_after = retry_after

    @property
    def sentence(self) -> str:
        """What is shown: how long to wait, too."""
        count, unit = (self.retry_after, "second") if self.retry_after < 60 else (-(-self.retry_after // 60), "minute")  # noqa: PLR2004 - of a minute
        return f"{self.detail} Try again in {count} {unit}{'' if count == 1 else 's'}."


class Unavailable(Refusal):
    """Not now: try again in `retry_after` seconds."""

    code = "unavailable"
    detail = "The service cannot answer just now: try again."

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__()
        self.retry_after = retry_after


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "temporarily_unavailable"
    detail = "The service cannot reach its database just now: try again."

    def __init__(self, advice: str = "", *, locked: bool = False) -> None:
        """`advice` is for the operator: no client ever reads it. `locked`: it did answer, that a lock is in the way."""
        super().__init__()
        self.advice = advice
        self.locked = locked


class Busy(Unavailable):
    """More passwords wait to be hashed than can be hashed in time."""

    code = "busy"
    detail = "Too many people are logging in just now: try again."


class InternalError(Refusal):
    """The unforeseen."""

    code = "internal_error"
    detail = "Something went wrong here. It was recorded under the request id."
