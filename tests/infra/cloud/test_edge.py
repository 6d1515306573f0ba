"""The edge: the one way in, with TLS, and with the rates of one address before what costs a hash."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp.test_utils import make_mocked_request

from authsvc.app import Service
from authsvc.web.routes import ROUTES, Route
from infra.components.edge import CANDIDATE_HEADER
from infra.components.rate_rules import ATTEMPT_PATHS, LAST
from tests.infra.cloud import stacks
from tests.infra.cloud.conftest import Recorded
from tests.infra.cloud.container import template_of
from tests.infra.cloud.recording import Recording

SERVICE, POLICY = "cloudrunv2/service:Service", "compute/securityPolicy:SecurityPolicy"
BACKEND, GROUP = (
    "compute/backendService:BackendService",
    "compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup",
)
RULE, URL_MAP = "compute/globalForwardingRule:GlobalForwardingRule", "compute/uRLMap:URLMap"


def rules(recording: Recording) -> list[dict[str, Any]]:
    return sorted(recording.one(POLICY).inputs["rules"], key=lambda rule: int(rule["priority"]))


def matcher(recording: Recording) -> Callable[[str], bool]:
    """Whether the first rule matches a path as it stands in the request line, as Cloud Armor would read it."""
    expression = rules(recording)[0]["match"]["expr"]["expression"]
    read = re.fullmatch(
        r"request\.method == 'POST' && request\.path(\.urlDecode\(\))?\.matches\('(\^[^']*\$)'\)", expression
    )
    assert read, expression
    decode = unquote if read[1] else str
    return lambda path: re.search(read[2], decode(path)) is not None


async def reached(service: Service, path: str) -> Route | None:
    """Which route a POST to this path, as it stands in the request line, is for."""
    request = make_mocked_request("POST", path)
    match = await service.public.router.resolve(request)
    return None if match.http_exception else service.public[ROUTES].get(match.route)


def test_nothing_but_the_edge_is_public_in_production(prod: Recording) -> None:
    service = prod.one(SERVICE)
    assert service.inputs["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    assert service.inputs["defaultUriDisabled"] is True
    members = [str(each.inputs.get("member", "")) + str(each.inputs.get("members", "")) for each in prod]
    assert not [each for each in members if "allUsers" in each or "allAuthenticatedUsers" in each]
    external = [each for each in prod.of("GlobalAddress") if each.inputs.get("addressType") != "INTERNAL"]
    assert {each.inputs["ipVersion"] for each in external} == {"IPV4", "IPV6"}
    listened = {(each.inputs["ipAddress"], each.inputs["portRange"]) for each in prod.of(RULE)}
    assert listened == {(each.outputs["address"], port) for each in external for port in ("80", "443")}
    # As many cost what one costs; the next would be more.
    assert len(prod.of(RULE)) <= 5


def test_without_an_edge_there_is_none_of_it_and_the_service_itself_is_reached(dev: Recording) -> None:
    assert not [each for kind in (POLICY, BACKEND, RULE, URL_MAP) for each in dev.of(kind)]
    service = dev.one(SERVICE)
    assert service.inputs["ingress"] == "INGRESS_TRAFFIC_ALL"
    assert service.inputs["defaultUriDisabled"] is False
    # The service itself asks who it is: with the permission of Google's IAM before it nobody could register.
    assert service.inputs["invokerIamDisabled"] is True


def test_http_only_leads_to_https_and_to_the_domain(prod: Recording) -> None:
    rules_of_80 = [each for each in prod.of(RULE) if each.inputs["portRange"] == "80"]
    proxy = prod.one("compute/targetHttpProxy:TargetHttpProxy")
    assert {rule.inputs["target"] for rule in rules_of_80} == {proxy.outputs["selfLink"]}
    (url_map,) = [each for each in prod.of(URL_MAP) if each.outputs["selfLink"] == proxy.inputs["urlMap"]]
    assert "defaultService" not in url_map.inputs
    assert "pathMatchers" not in url_map.inputs
    redirect = url_map.inputs["defaultUrlRedirect"]
    assert (redirect["httpsRedirect"], redirect["hostRedirect"]) == (True, "auth.example.com")
    assert redirect["redirectResponseCode"] == "MOVED_PERMANENTLY_DEFAULT"


def test_tls_is_of_this_decade_and_the_certificate_is_the_domains(prod: Recording) -> None:
    policy = prod.one("SSLPolicy").inputs
    assert (policy["minTlsVersion"], policy["profile"]) == ("TLS_1_2", "RESTRICTED")
    proxy = prod.one("compute/targetHttpsProxy:TargetHttpsProxy")
    assert proxy.inputs["sslPolicy"] == prod.one("SSLPolicy").outputs["selfLink"]
    # A login in early data could be sent again by whoever saw it.
    assert proxy.inputs["tlsEarlyData"] == "DISABLED"
    certificate = prod.one("certificatemanager/certificate:Certificate")
    assert certificate.inputs["managed"]["domains"] == ["auth.example.com"]
    entry = prod.one("certificatemanager/certificateMapEntry:CertificateMapEntry")
    assert entry.inputs["hostname"] == "auth.example.com"
    assert certificate.urn in entry.dependencies
    assert entry.urn in proxy.dependencies
    record = prod.outputs["dns_record"].splitlines()
    assert record[0] == f"auth.example.com. A {prod.one('GlobalAddress', 'authsvc').outputs['address']}"
    assert record[1] == f"auth.example.com. AAAA {prod.one('GlobalAddress', 'authsvc-ipv6').outputs['address']}"
    assert " CNAME " in record[2]


def test_every_backend_has_the_rates_before_it_and_a_log_of_every_request(prod: Recording) -> None:
    policy = prod.one(POLICY).outputs["selfLink"]
    assert len(prod.of(BACKEND)) == 2
    for backend in prod.of(BACKEND):
        assert backend.inputs["securityPolicy"] == policy
        assert backend.inputs["logConfig"] == {"enable": True, "sampleRate": 1}
        assert backend.inputs["enableCdn"] is False
        assert "healthChecks" not in backend.inputs
        assert "timeoutSec" not in backend.inputs


def test_the_rate_of_attempts_comes_before_that_of_everything_and_both_are_of_one_address(prod: Recording) -> None:
    attempts, everything, last = rules(prod)
    edge = stacks.settings("prod").edge
    assert attempts["priority"] < everything["priority"] < last["priority"] == LAST == 2**31 - 1
    for rule, count in ((attempts, edge.attempts_per_minute), (everything, edge.requests_per_minute)):
        options = rule["rateLimitOptions"]
        assert rule["action"] == "throttle"
        assert (options["conformAction"], options["exceedAction"]) == ("allow", "deny(429)")
        assert options["enforceOnKey"] == "IP"
        assert options["rateLimitThreshold"] == {"count": count, "intervalSec": 60}
        assert not rule.get("preview", False)
    for rule in (everything, last):
        assert rule["match"]["config"]["srcIpRanges"] == ["*"]
    assert edge.attempts_per_minute < edge.requests_per_minute


async def test_logins_and_registrations_are_what_the_first_rule_matches(prod: Recording, service: Service) -> None:
    matches = matcher(prod)
    table = set(service.public[ROUTES].values())
    posts = {route.path for route in table if route.method == "POST"}
    assert {"/api/auth/login", "/api/auth/register", "/login", "/register"} <= set(filter(matches, posts))
    # No path that the service does not have, and none that costs it nothing.
    assert set(filter(matches, posts)) == set(ATTEMPT_PATHS)
    for path in ATTEMPT_PATHS:
        route = await reached(service, path)
        assert route is not None
        assert route.path == path


SPELLINGS = (
    lambda path: path,
    lambda path: path.replace("l", "%6c").replace("r", "%72"),
    lambda path: path.replace("o", "%6F"),
    lambda path: "".join(f"%{ord(each):02x}" if each != "/" else each for each in path),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.replace("/", "//"),
    lambda path: f"{path}/",
    lambda path: f"{path}?next=/",
    lambda path: f"{path};x=y",
    lambda path: f"/.{path}",
    lambda path: f"/x/..{path}",
    lambda path: f"{path}%00",
    lambda path: f"{path}%20",
    lambda path: path.upper(),
    lambda path: path.replace("o", "%256f"),
    lambda path: path.replace("i", "\u0131"),
)


@pytest.mark.parametrize("path", ATTEMPT_PATHS)
async def test_no_spelling_of_a_login_that_the_service_takes_goes_past_the_rule(
    path: str, prod: Recording, service: Service
) -> None:
    matches = matcher(prod)
    taken = 0
    for spell in SPELLINGS:
        spelt = spell(path)
        route = await reached(service, spelt)
        if route is not None and route.path in ATTEMPT_PATHS:
            taken += 1
            assert matches(spelt.partition("?")[0]), f"{spelt} is {route.path} to the service"
    assert taken >= 4, "the service decodes what is percent-encoded"


def test_the_candidate_is_reached_by_a_secret_header_and_says_so(prod: Recording) -> None:
    (url_map,) = [each for each in prod.of(URL_MAP) if "pathMatchers" in each.inputs]
    (matcher,) = url_map.inputs["pathMatchers"]
    (rule,) = matcher["routeRules"]
    candidate, stable = (prod.one(BACKEND, name) for name in ("authsvc-candidate", "authsvc"))
    assert url_map.inputs["defaultService"] == matcher["defaultService"] == stable.outputs["selfLink"]
    assert rule["service"] == candidate.outputs["selfLink"]
    (header,) = rule["matchRules"][0]["headerMatches"]
    assert header == {"headerName": CANDIDATE_HEADER, "exactMatch": prod.outputs["candidate_key"]}
    where = ("pathMatchers", 0, "routeRules", 0, "matchRules", 0, "headerMatches", 0, "exactMatch")
    assert url_map.is_secret(*where)
    assert "candidate_key" in prod.secret_outputs
    assert prod.one("RandomPassword", "authsvc-candidate-key").inputs["length"] >= 32
    # Whoever checks it sees that it was not the stable one that answered.
    assert candidate.inputs["customResponseHeaders"] == [f"{CANDIDATE_HEADER}: candidate"]
    assert "customResponseHeaders" not in stable.inputs
    (group,) = [each for each in prod.of(GROUP) if "tag" in each.inputs["cloudRun"]]
    tags = [target["tag"] for target in prod.one(SERVICE).inputs["traffics"] if "tag" in target]
    assert [group.inputs["cloudRun"]["tag"]] == tags


def test_each_region_has_its_group_of_the_stable_and_of_the_candidate(recorded: Recorded) -> None:
    regions = ["europe-west4"]
    recording = recorded("prod", {"authsvc:service": {"extraRegions": regions, "maxInstances": 4}})
    for tag in (None, "candidate"):
        groups = [each for each in recording.of(GROUP) if each.inputs["cloudRun"].get("tag") == tag]
        assert {each.inputs["region"] for each in groups} == {"europe-west1", *regions}
        backend = recording.one(BACKEND, f"authsvc-{tag}" if tag else "authsvc")
        assert {each["group"] for each in backend.inputs["backends"]} == {each.outputs["selfLink"] for each in groups}
        assert backend.inputs["outlierDetection"]["maxEjectionPercent"] < 100
    assert all(template_of(each)["containers"] for each in recording.of(SERVICE))


def test_the_service_trusts_the_two_addresses_that_google_adds_and_no_more(prod: Recording, dev: Recording) -> None:
    for recording, proxies in ((prod, "cloud-run-load-balancer"), (dev, "cloud-run")):
        envs = template_of(recording.one(SERVICE))["containers"][0]["envs"]
        assert {each["name"]: each["value"] for each in envs}["AUTHSVC_TRUSTED_PROXIES"] == proxies
