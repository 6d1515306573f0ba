"""Whether the newest revision is fit to serve: asked of it directly, while it has little of the traffic or none."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from infra.components.edge import CANDIDATE_HEADER

PATIENCE = aiohttp.ClientTimeout(total=30)
"""For one answer: the first one may wait for an instance to start."""
WINDOW = "10m"
LEAST_REQUESTS = 100
"""Fewer say nothing about a share of one in a hundred."""
MOST_ERRORS = 0.01
"""Share of 5xx: ten times what the objectives allow, so that what remains is not noise."""
MONITORING = "https://monitoring.googleapis.com/v1/projects/{project}/location/global/prometheus/api/v1/query"


@dataclass(frozen=True)
class Probe:
    """An account to log in with."""

    email: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Candidate:
    """Where the newest revision is reached, and where everybody goes."""

    url: str
    public_url: str
    key: str | None = None
    """What the header says that leads to it, behind an edge."""

    @property
    def headers(self) -> dict[str, str]:
        """What each request to it has."""
        return {CANDIDATE_HEADER: self.key} if self.key else {}


async def faults(candidate: Candidate, probe: Probe | None = None) -> list[str]:
    """Return a sentence for each thing that is not as it must be."""
    async with aiohttp.ClientSession(timeout=PATIENCE, cookie_jar=aiohttp.DummyCookieJar()) as session:
        check = _Check(session, candidate)
        try:
            found = [*await check.page(), *await check.keys()]
            return found if found or probe is None else await check.login(probe)
        except (aiohttp.ClientError, TimeoutError) as error:
            return [f"{candidate.url} does not answer: {str(error) or type(error).__name__}."]


@dataclass(frozen=True)
class _Check:
    session: aiohttp.ClientSession
    candidate: Candidate

    async def page(self) -> list[str]:
        response = await self._ask("GET", "/login")
        led = response.headers.get(CANDIDATE_HEADER)
        if self.candidate.key and led is None:
            return ["The load balancer led elsewhere: its key of the candidate is another, or it has not changed yet."]
        return _unless(response.status == 200, f"GET /login answers {response.status}.")  # noqa: PLR2004

    async def keys(self) -> list[str]:
        theirs = await self._key_ids(self.candidate.url, self.candidate.headers)
        ours = await self._key_ids(self.candidate.public_url, {})
        if not theirs:
            return ["/.well-known/jwks.json has no key."]
        missing = ", ".join(sorted(ours - theirs))
        return _unless(not missing, f"It does not know the key {missing}: tokens that are out would be refused.")

    async def login(self, probe: Probe) -> list[str]:
        credentials = {"email": probe.email, "password": probe.password}
        opened = await self._ask("POST", "/api/auth/login", json=credentials)
        if opened.status != 200:  # noqa: PLR2004
            return [f"The login of {probe.email} answers {opened.status}."]
        bearer = {"Authorization": f"Bearer {(await opened.json())['access_token']}"}
        asked = await self._ask("GET", "/api/auth/me", headers=bearer)
        ended = await self._ask("POST", "/api/auth/logout", headers=bearer)
        return [
            *_unless(asked.status == 200, f"GET /api/auth/me answers {asked.status} to a token of its own."),  # noqa: PLR2004
            *_unless(ended.ok, f"The logout of {probe.email} answers {ended.status}."),
        ]

    async def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: object = None
    ) -> aiohttp.ClientResponse:
        url = f"{self.candidate.url}{path}"
        given = {**self.candidate.headers, **(headers or {})}
        async with self.session.request(method, url, headers=given, json=json, allow_redirects=False) as response:
            await response.read()
            return response

    async def _key_ids(self, url: str, headers: Mapping[str, str]) -> set[str]:
        async with self.session.get(f"{url}/.well-known/jwks.json", headers=headers) as response:
            return {str(key["kid"]) for key in (await response.json()).get("keys", [])} if response.ok else set()


def _unless(right: bool, sentence: str) -> list[str]:  # noqa: FBT001
    return [] if right else [sentence]


def query(revision: str) -> str:
    """Return the PromQL that counts what a revision answered, by the class of the status."""
    return (
        f'sum by (status) (increase(authsvc_http_requests_total{{job="authsvc",revision_name="{revision}"}}[{WINDOW}]))'
    )


def counted(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return the counts in an answer of Prometheus' API, by the class of the status."""
    return {each["metric"]["status"]: float(each["value"][1]) for each in answer["data"]["result"]}


def faults_of(counts: Mapping[str, float]) -> Iterator[str]:
    """Yield a sentence where too much of what was answered is an error of the service."""
    answered, errors = sum(counts.values()), counts.get("5xx", 0.0)
    if answered >= LEAST_REQUESTS and errors > MOST_ERRORS * answered:
        yield f"{errors:.0f} of {answered:.0f} answers of the last {WINDOW} were 5xx: {errors / answered:.1%}."


async def ask_monitoring(project: str, revision: str, token: str, api: str = MONITORING) -> dict[str, float]:
    """Return what a revision answered lately, by the class of the status, as Cloud Monitoring has it.

    Raises:
        aiohttp.ClientError: it gives no answer.
    """
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.get(api.format(project=project), params={"query": query(revision)}, headers=headers) as response,
    ):
        response.raise_for_status()
        return counted(json.loads(await response.text()))


def run(candidate: Candidate, probe: Probe | None) -> list[str]:
    """Return the faults, for who is not in an event loop."""
    return asyncio.run(faults(candidate, probe))
