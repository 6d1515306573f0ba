"""The section of the configuration that says what is limited; config.py reads it with the others."""

from dataclasses import dataclass
from typing import Literal

from authsvc.environment import RateLimit, integer, one_of, rate_limit, variable


@dataclass(frozen=True)
class Limits:
    """How often passwords are tried and accounts opened. Each limit is how many at once, and how long those take."""

    switch: Literal["on", "off"] = variable(
        "AUTHSVC_LIMITS", one_of("on", "off"), "on", "`off`: nothing is limited. For benchmarks, and for nothing else."
    )
    origin: RateLimit = variable(
        "AUTHSVC_LIMIT_ORIGIN",
        rate_limit,
        "60/300",
        "Passwords checked for one network address: at once, and in how many seconds as many come back.",
    )
    account: RateLimit = variable(
        "AUTHSVC_LIMIT_ACCOUNT",
        rate_limit,
        "10/60",
        "Wrong passwords for one account before each further one has to wait twice as long as the one before.",
    )
    account_delay_seconds: int = variable(
        "AUTHSVC_LIMIT_ACCOUNT_DELAY_SECONDS", integer(1, 86_400), "900", "What that wait grows to."
    )
    register: RateLimit = variable(
        "AUTHSVC_LIMIT_REGISTER", rate_limit, "20/3600", "Accounts opened from one network address."
    )
    when_unavailable: Literal["refuse", "pass"] = variable(
        "AUTHSVC_LIMITS_UNAVAILABLE",
        one_of("refuse", "pass"),
        "refuse",
        "What happens to an attempt when the database cannot count it: 503, or it goes ahead if the journal can be"
        " written.",
    )

    @property
    def enabled(self) -> bool:
        """Whether anything is limited."""
        return self.switch == "on"
