"""From people to requests a second and rows: what is assumed of them, each of it an option of the command."""

from dataclasses import dataclass, field, fields
from typing import Any

from authsvc.config import Journal, Sessions, Tokens
from authsvc.config import settings as settings_of_the_service

DAY = 86_400
SWEPT_AFTER_DAYS = 1
"""A session stays that long after its end: docs/retention.md."""
ENTRIES_OF_A_LOGIN = 2
"""Of the journal: the session begins, and it ends."""


def assumed(default: float, help_: str, *, least: float = 0, most: float = 10**6) -> Any:  # noqa: ANN401 - a dataclass field is typed by its annotation
    """Return a field with what its option says and takes."""
    return field(default=default, metadata={"help": help_, "least": least, "most": most})


@dataclass(frozen=True)
class Behaviour:
    """What people do: assumptions, to be replaced by what `authsvc_*` metrics say of yours."""

    active_share: float = assumed(0.2, "share of all accounts that is used on a day", most=1)
    logins_per_day: float = assumed(0.2, "logins of an active person a day: a session lasts, so one in five days")
    minutes_per_day: float = assumed(60, "minutes a day in which an active person's client renews its tokens")
    verifications_per_day: float = assumed(
        100, "times a day that services ask /api/auth/verify of an active person; with the published keys they need not"
    )
    peak: float = assumed(3, "the busiest minute of the day over its mean", least=1)


@dataclass(frozen=True)
class Demand:
    """Requests a second at the peak, their mean, and the rows that stay."""

    users: float
    logins: float
    refreshes: float
    verifications: float
    peak: float

    @property
    def rates(self) -> dict[str, float]:
        """At the peak, by the names of docs/bench/service-times.json."""
        return {"login": self.logins, "refresh": self.refreshes, "verify": self.verifications}

    @property
    def rows(self) -> dict[str, float]:
        """Rows that there are at most: sessions that are never used again, and a journal that is full."""
        logins = self.logins / self.peak * DAY
        sessions = logins * (_default(Sessions, "lifetime_seconds") / DAY + SWEPT_AFTER_DAYS)
        return {
            "user": self.users,
            "session": min(sessions, self.users * _default(Sessions, "per_user")),
            "journal": logins * ENTRIES_OF_A_LOGIN * _default(Journal, "days"),
        }


def demand(
    users: float,
    behaviour: Behaviour,
    *,
    logins: float | None = None,
    refreshes: float | None = None,
    verifications: float | None = None,
) -> Demand:
    """Return what so many accounts ask for; each rate that is given takes the place of what is assumed."""
    active = users * behaviour.active_share / DAY * behaviour.peak
    refreshes_per_day = behaviour.minutes_per_day * 60 / _default(Tokens, "lifetime_seconds")
    return Demand(
        users=users,
        logins=active * behaviour.logins_per_day if logins is None else logins,
        refreshes=active * refreshes_per_day if refreshes is None else refreshes,
        verifications=active * behaviour.verifications_per_day if verifications is None else verifications,
        peak=behaviour.peak,
    )


def _default(section: type, name: str) -> int:
    """Return the service's own default of a setting."""
    setting = next(each.metadata["setting"] for each in fields(section) if each.name == name)
    assert setting in settings_of_the_service()  # noqa: S101 - the sections are those of the configuration
    value = setting.parse(setting.default)
    assert isinstance(value, int)  # noqa: S101
    return value
