"""Who comes in, who does not, and who is sent away."""

from infra.monitoring.dashboards.parts import Dashboard, Panel, Query, Row, figure, graph, ranking
from infra.monitoring.dashboards.promql import count, quantile, quotient, rate, series

EVENTS = "authsvc_events_total"
LIMITS = "authsvc_limits_total"
SHED = "authsvc_password_hashes_shed_total"
QUEUE_FULL = 'reason="queue_full"'
FAILURE = 'event="session:login:failure"'
OUTCOMES = {"success": "green", "failure": "orange"}


def make() -> Dashboard:
    """Return the dashboard."""
    return Dashboard(
        "logins-and-abuse",
        "authsvc: logins and abuse",
        "Logins, sessions and accounts by what became of them; the limits; the queue of password hashes.",
        (
            Row("In the time shown", _sums()),
            Row("Logins and sessions", _sessions()),
            Row("Limits", _limits()),
            Row("Password hashing", _hashing()),
            Row("Accounts", _accounts()),
        ),
    )


def _event(tag: str, legend: str) -> Query:
    return Query(rate(EVENTS, f'event="{tag}"'), legend)


def _sums() -> list[Panel]:
    def sum_(title: str, description: str, tag: str, *, is_bad: bool = False) -> Panel:
        limits = [(1, "red")] if is_bad else []
        query = Query(count(EVENTS, f'event="{tag}"'))
        return figure(
            title, description, query, unit="short", decimals=0, base="green" if is_bad else "blue", limits=limits
        )

    return [
        sum_("Logged in", "Right passwords.", "session:login:success"),
        figure(
            "Failed",
            "Share of the logins that failed. On a usual day fewer than half do.",
            Query(quotient(count(EVENTS, FAILURE), count(EVENTS, 'event=~"session:login:(success|failure)"'))),
            unit="percentunit",
            decimals=1,
            limits=[(0.25, "orange"), (0.5, "red")],
        ),
        sum_("Registered", "New accounts.", "user:register:success"),
        sum_(
            "Spent tokens",
            "Refresh tokens that came back: stolen or badly kept.",
            "session:refresh:reuse",
            is_bad=True,
        ),
        figure(
            "Held up",
            "Attempts that a limit refused: answered 429.",
            Query(count(LIMITS, 'outcome="refused"')),
            unit="short",
            decimals=0,
            base="blue",
        ),
        figure(
            "Shed",
            "Logins sent away with 503, since passwords could not be hashed quickly enough.",
            Query(count(SHED, QUEUE_FULL)),
            unit="short",
            decimals=0,
            limits=[(1, "orange"), (10, "red")],
        ),
    ]


def _sessions() -> list[Panel]:
    return [
        graph(
            "Logins",
            "By what became of them. More failures than successes, and many: somebody guesses passwords.",
            _event("session:login:success", "success"),
            _event("session:login:failure", "failure"),
            _event("session:login:disabled", "disabled"),
            _event("credential:verify:slowed", "slowed"),
            unit="ops",
            colours={**OUTCOMES, "disabled": "purple", "slowed": "yellow"},
        ),
        graph(
            "Refreshes",
            "Renewals of sessions. Reuse is a token that was spent already: its session is ended.",
            _event("session:refresh:success", "success"),
            _event("session:refresh:failure", "failure"),
            _event("session:refresh:reuse", "reuse"),
            unit="ops",
            colours={**OUTCOMES, "reuse": "red"},
        ),
        graph(
            "Sessions ended",
            "By why. Revoked ones were ended from the list of sessions, by an operator or for good reason.",
            Query(
                "label_replace("
                + rate(EVENTS, 'event=~"session:end:.*"', by="event")
                + ', "reason", "$1", "event", "session:end:(.*)")',
                "{{reason}}",
            ),
            unit="ops",
            stacked=True,
        ),
    ]


def _limits() -> list[Panel]:
    refused, all_ = rate(LIMITS, 'outcome="refused"', by="limit"), rate(LIMITS, by="limit")
    return [
        graph(
            "Limits",
            "Attempts that were refused, by the limit, and those that could not be counted, since the database did not"
            " answer: then AUTHSVC_LIMITS_UNAVAILABLE decides.",
            Query(refused, "refused: {{limit}}"),
            Query(rate(LIMITS, 'outcome="unavailable"'), "not counted"),
            unit="ops",
            colours={"not counted": "red"},
        ),
        graph(
            "Share refused",
            "Of all that asked each limit. The one of origins rises with one busy address: an attack, or a proxy that"
            " AUTHSVC_TRUSTED_PROXIES does not name.",
            Query(quotient(refused, all_), "{{limit}}"),
            unit="percentunit",
            most=1,
        ),
        graph(
            "Granted",
            "Attempts that went ahead, by the limit.",
            Query(rate(LIMITS, 'outcome="granted"', by="limit"), "{{limit}}"),
            unit="ops",
        ),
    ]


def _hashing() -> list[Panel]:
    shed = Query(rate(SHED, by="reason"), "shed: {{reason}}")
    return [
        graph(
            "Hash queue",
            "Hashes that wait and that run, and how many can run. Who would wait longer than"
            " AUTHSVC_PASSWORD_QUEUE_SECONDS is sent away: how many, in five minutes.",
            Query(f"sum({series('authsvc_password_hashes_waiting')})", "waiting"),
            Query(f"sum({series('authsvc_password_hashes_running')})", "running"),
            Query(f"sum({series('authsvc_password_hash_threads')})", "threads"),
            Query(f"sum(increase({series(SHED, QUEUE_FULL)}[5m]))", "sent away"),
            unit="short",
            bounds=["threads"],
            colours={"waiting": "orange", "running": "blue", "threads": "purple", "sent away": "red"},
        ),
        graph(
            "Hashes",
            "Passwords hashed, and those that were not: no place in the queue (queue_full), or a client that did not"
            " wait (client_gone).",
            Query(rate("authsvc_password_hash_duration_seconds_count"), "hashed"),
            shed,
            unit="ops",
            colours={"shed: queue_full": "red", "shed: client_gone": "yellow", "hashed": "green"},
        ),
        graph(
            "Time of a hash",
            "In the queue, and on its thread. The latter changes with the profile, and when others take the CPUs.",
            Query(quantile(0.99, "authsvc_password_hash_wait_seconds"), "queue, 99 %"),
            Query(quantile(0.5, "authsvc_password_hash_duration_seconds"), "hash, 50 %"),
            Query(quantile(0.99, "authsvc_password_hash_duration_seconds"), "hash, 99 %"),
            unit="s",
        ),
    ]


def _accounts() -> list[Panel]:
    return [
        graph(
            "Accounts",
            "Opened; not opened, since the address is taken or the password refused; deleted by who owned them. What"
            " operators do at the command line is in the journal alone.",
            _event("user:register:success", "registered"),
            _event("user:register:taken", "address taken"),
            _event("user:register:failure", "password refused"),
            _event("user:delete:success", "deleted"),
            unit="ops",
            colours={"registered": "green", "address taken": "orange", "password refused": "yellow", "deleted": "blue"},
        ),
        graph(
            "Passwords",
            "Changed; hashed anew with better parameters at a login; stored in a way that is not understood; not"
            " looked up among the breached ones, since nobody answered.",
            _event("credential:change:success", "changed"),
            _event("credential:change:failure", "change refused"),
            _event("credential:rehash:success", "hashed anew"),
            _event("credential:verify:unsupported", "not understood"),
            _event("credential:breach_check:failure", "not looked up"),
            unit="ops",
            colours={"not understood": "red", "not looked up": "orange"},
        ),
        ranking(
            "What happened most",
            "Events in the time shown, the most frequent first. The journal knows of whom each was.",
            Query(f"topk(12, {count(EVENTS, by='event')})", "{{event}}"),
            unit="short",
        ),
    ]
