"""The edge: the global external application load balancer, the one public way in where there is an edge at all."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp
import pulumi_random

from infra import settings
from infra.components.rate_rules import rules
from infra.components.service import CANDIDATE

CANDIDATE_HEADER = "x-authsvc-candidate"
"""Header that leads to the newest revision, with the key; and in its answers, where it says that it was led there."""
KEY_LENGTH = 32
VERSIONS = ("IPV4", "IPV6")
"""Two rules each, and five cost as much as one."""
_SCHEME = "EXTERNAL_MANAGED"


@dataclass(frozen=True)
class EdgeArgs:
    """What the edge is made of."""

    settings: settings.Edge
    domain: str
    services: Mapping[str, pulumi.Input[str]]
    """Names on Cloud Run, by region."""


class Edge(pulumi.ComponentResource):
    """A load balancer with two addresses, a certificate, limits, and the services of all regions behind it.

    The certificate is one of Certificate Manager, authorised by a record in the DNS: it can be had before the domain
    points here, so that a domain in use moves without an hour in which nobody gets in. The classic managed certificate
    is made only after that.

    Attributes:
        addresses: what the domain's records have: of IPv4 its A, of IPv6 its AAAA.
        dns_record: the records that the domain needs, for people.
        candidate_key: what the header that leads to the newest revision must say. Secret: nobody else tries what was
            not checked yet.
    """

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Edge", name, None, opts)
        self._name, self._args = name, args
        self._inside = pulumi.ResourceOptions(parent=self)
        key = pulumi_random.RandomPassword(
            f"{name}-candidate-key", length=KEY_LENGTH, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        self.candidate_key: pulumi.Output[str] = pulumi.Output.secret(key.result)
        policy = self._policy()
        url_map = self._url_map(self._backend(policy), self._backend(policy, tag=CANDIDATE))
        authorization = gcp.certificatemanager.DnsAuthorization(name, name=name, domain=args.domain, opts=self._inside)
        https = self._https_proxy(url_map, self._certificate_map(authorization)).self_link
        redirect = self._redirect().self_link
        self.addresses: list[pulumi.Output[str]] = [
            self._listen(version, https=https, redirect=redirect) for version in VERSIONS
        ]
        proof = authorization.dns_resource_records[0]
        self.dns_record: pulumi.Output[str] = pulumi.Output.format(
            "{0}. A {1}\n{0}. AAAA {2}\n{3} {4} {5}",
            args.domain,
            *self.addresses,
            proof.name,
            proof.type,
            proof.data,
        )
        self.register_outputs({"addresses": self.addresses, "dns_record": self.dns_record})

    def _policy(self) -> gcp.compute.SecurityPolicy:
        return gcp.compute.SecurityPolicy(
            self._name,
            name=self._name,
            type="CLOUD_ARMOR",
            description="Rates of one address, before the service spends anything on it",
            rules=rules(self._args.settings),
            # Which rule matched is in the log; bodies, which hold passwords, are not parsed for it.
            advanced_options_config=gcp.compute.SecurityPolicyAdvancedOptionsConfigArgs(
                json_parsing="DISABLED", log_level="NORMAL"
            ),
            opts=self._inside,
        )

    def _backend(self, policy: gcp.compute.SecurityPolicy, tag: str | None = None) -> gcp.compute.BackendService:
        name = f"{self._name}-{tag}" if tag else self._name
        groups = [
            gcp.compute.RegionNetworkEndpointGroup(
                f"{name}-{region}",
                name=f"{name}-{region}",
                region=region,
                network_endpoint_type="SERVERLESS",
                cloud_run=gcp.compute.RegionNetworkEndpointGroupCloudRunArgs(service=service, tag=tag),
                opts=self._inside,
            )
            for region, service in self._args.services.items()
        ]
        # Neither a time-out nor a health check: Cloud Run has its own, and the load balancer takes none.
        return gcp.compute.BackendService(
            name,
            name=name,
            load_balancing_scheme=_SCHEME,
            protocol="HTTPS",
            backends=[gcp.compute.BackendServiceBackendArgs(group=group.self_link) for group in groups],
            security_policy=policy.self_link,
            # Tokens and forms: nothing of it is anybody else's.
            enable_cdn=False,
            session_affinity="NONE",
            # Where Cloud Run of one region fails, requests go to the next.
            outlier_detection=_outlier_detection() if len(groups) > 1 else None,
            custom_response_headers=[f"{CANDIDATE_HEADER}: {tag}"] if tag else None,
            # All: of a refusal by the policy there is no other trace.
            log_config=gcp.compute.BackendServiceLogConfigArgs(enable=True, sample_rate=1.0),
            opts=self._inside,
        )

    def _url_map(self, stable: gcp.compute.BackendService, candidate: gcp.compute.BackendService) -> gcp.compute.URLMap:
        asked_for = gcp.compute.URLMapPathMatcherRouteRuleMatchRuleHeaderMatchArgs(
            header_name=CANDIDATE_HEADER, exact_match=self.candidate_key
        )
        rule = gcp.compute.URLMapPathMatcherRouteRuleArgs(
            priority=1,
            match_rules=[
                gcp.compute.URLMapPathMatcherRouteRuleMatchRuleArgs(prefix_match="/", header_matches=[asked_for])
            ],
            service=candidate.self_link,
        )
        return gcp.compute.URLMap(
            self._name,
            name=self._name,
            default_service=stable.self_link,
            host_rules=[gcp.compute.URLMapHostRuleArgs(hosts=[self._args.domain], path_matcher="all")],
            path_matchers=[
                gcp.compute.URLMapPathMatcherArgs(name="all", default_service=stable.self_link, route_rules=[rule])
            ],
            opts=self._inside,
        )

    def _certificate_map(self, authorization: gcp.certificatemanager.DnsAuthorization) -> pulumi.Output[str]:
        certificate = gcp.certificatemanager.Certificate(
            self._name,
            name=self._name,
            managed=gcp.certificatemanager.CertificateManagedArgs(
                domains=[self._args.domain], dns_authorizations=[authorization.id]
            ),
            opts=self._inside,
        )
        certificates = gcp.certificatemanager.CertificateMap(self._name, name=self._name, opts=self._inside)
        entry = gcp.certificatemanager.CertificateMapEntry(
            self._name,
            name=self._name,
            map=certificates.name,
            hostname=self._args.domain,
            certificates=[certificate.id],
            opts=self._inside,
        )
        # Of the entry, so that the proxy is not there before it has a certificate to show.
        return pulumi.Output.all(certificates.id, entry.id).apply(
            lambda ids: f"//certificatemanager.googleapis.com/{ids[0]}"
        )

    def _https_proxy(
        self, url_map: gcp.compute.URLMap, certificate_map: pulumi.Output[str]
    ) -> gcp.compute.TargetHttpsProxy:
        policy = gcp.compute.SSLPolicy(
            self._name,
            name=self._name,
            # RFC 9325 §3.1.1: nothing below 1.2, and of its suites those with forward secrecy.
            min_tls_version="TLS_1_2",
            profile="RESTRICTED",
            opts=self._inside,
        )
        return gcp.compute.TargetHttpsProxy(
            self._name,
            name=self._name,
            url_map=url_map.self_link,
            certificate_map=certificate_map,
            ssl_policy=policy.self_link,
            # RFC 8446 §8: early data can be replayed, and a login is no idempotent request.
            tls_early_data="DISABLED",
            opts=self._inside,
        )

    def _redirect(self) -> gcp.compute.TargetHttpProxy:
        name = f"{self._name}-http"
        url_map = gcp.compute.URLMap(
            name,
            name=name,
            default_url_redirect=gcp.compute.URLMapDefaultUrlRedirectArgs(
                https_redirect=True,
                # To the domain alone, whatever the request says.
                host_redirect=self._args.domain,
                redirect_response_code="MOVED_PERMANENTLY_DEFAULT",
                strip_query=False,
            ),
            opts=self._inside,
        )
        return gcp.compute.TargetHttpProxy(name, name=name, url_map=url_map.self_link, opts=self._inside)

    def _listen(self, version: str, *, https: pulumi.Output[str], redirect: pulumi.Output[str]) -> pulumi.Output[str]:
        """Take an address, and what comes to its two ports; return it."""
        name = self._name if version == "IPV4" else f"{self._name}-{version.lower()}"
        resource = gcp.compute.GlobalAddress(name, name=name, ip_version=version, opts=self._inside)
        address: pulumi.Output[str] = resource.address
        for port, target in (("443", https), ("80", redirect)):
            gcp.compute.GlobalForwardingRule(
                f"{name}-{port}",
                name=f"{name}-{port}",
                ip_address=address,
                ip_protocol="TCP",
                port_range=port,
                load_balancing_scheme=_SCHEME,
                target=target,
                opts=self._inside,
            )
        return address


def _outlier_detection() -> gcp.compute.BackendServiceOutlierDetectionArgs:
    """Return when a region gets no requests for a while, though Cloud Run says that its instances are ready there."""
    return gcp.compute.BackendServiceOutlierDetectionArgs(
        # 503 is also how the service sheds load: so many in a row only where nothing else is answered.
        consecutive_errors=20,
        interval=gcp.compute.BackendServiceOutlierDetectionIntervalArgs(seconds=1),
        base_ejection_time=gcp.compute.BackendServiceOutlierDetectionBaseEjectionTimeArgs(seconds=30),
        # One of two, and never the last.
        max_ejection_percent=50,
    )
