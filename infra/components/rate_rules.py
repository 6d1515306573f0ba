"""The rules of Cloud Armor: how often one address may ask, and how often it may try a password.

The service has limits of its own, which know accounts, count over all regions, and are told to clients in headers.
These stand before them, so that a flood from few addresses costs neither a hash nor an instance. Google does not say
that it counts an IPv6 /64 as one, so take it that whoever has one has many; the service counts it as one.
"""

import re

import pulumi_gcp as gcp

from authsvc.app import compose
from authsvc.config import Config
from authsvc.refusals import Busy
from authsvc.web.routes import ROUTES
from infra import settings

MINUTE = 60
_PLAIN = re.compile(r"[a-z0-9/_-]+")
LAST = 2_147_483_647
"""Priority of the rule for what no other one matched: the cloud's own number."""
ANYBODY = gcp.compute.SecurityPolicyRuleMatchArgs(
    versioned_expr="SRC_IPS_V1", config=gcp.compute.SecurityPolicyRuleMatchConfigArgs(src_ip_ranges=["*"])
)


def _attempt_paths() -> list[str]:
    """Return the paths of the service at which a stranger makes it hash a password: those of its own route table.

    They are known by what they may answer: a route for everybody that can find the hash queue full.
    """
    sample = {
        "AUTHSVC_DATABASE_URL": "postgresql://127.0.0.1/authsvc",
        "AUTHSVC_JWT_SECRET": "for-the-table-of-routes-alone-32",
    }
    table = set(compose(Config.read(sample)).public[ROUTES].values())
    return sorted({route.path for route in table if route.public and route.method == "POST" and Busy in route.refuses})


ATTEMPT_PATHS = _attempt_paths()
"""Made as this is imported, once: it composes the service."""


def rules(edge: settings.Edge) -> list[gcp.compute.SecurityPolicyRuleArgs]:
    """Return the rules, from the first to the last that is looked at."""
    attempts = gcp.compute.SecurityPolicyRuleMatchArgs(
        expr=gcp.compute.SecurityPolicyRuleMatchExprArgs(expression=attempt_expression())
    )
    return [
        _throttle(1000, "Logins and registrations of one address", attempts, edge.attempts_per_minute),
        _throttle(2000, "Requests of one address", ANYBODY, edge.requests_per_minute),
        # Never reached, and demanded.
        gcp.compute.SecurityPolicyRuleArgs(action="allow", priority=LAST, description="The rest", match=ANYBODY),
    ]


def attempt_expression() -> str:
    """Return what matches an attempt, in the language of Cloud Armor.

    The path is decoded first: to the service `/log%69n` is `/login`. Nothing in a path is escaped: a backslash
    before what needs none is no text of that language.
    """
    assert all(_PLAIN.fullmatch(path) for path in ATTEMPT_PATHS)  # noqa: S101 - of the service's own table
    paths = "|".join(ATTEMPT_PATHS)
    return f"request.method == 'POST' && request.path.urlDecode().matches('^({paths})$')"


def _throttle(
    priority: int, description: str, match: gcp.compute.SecurityPolicyRuleMatchArgs, per_minute: int
) -> gcp.compute.SecurityPolicyRuleArgs:
    return gcp.compute.SecurityPolicyRuleArgs(
        action="throttle",
        priority=priority,
        description=description,
        match=match,
        rate_limit_options=gcp.compute.SecurityPolicyRuleRateLimitOptionsArgs(
            conform_action="allow",
            exceed_action="deny(429)",
            # The other end of the connection: a header would be the client's to choose.
            enforce_on_key="IP",
            rate_limit_threshold=gcp.compute.SecurityPolicyRuleRateLimitOptionsRateLimitThresholdArgs(
                count=per_minute, interval_sec=MINUTE
            ),
        ),
    )
