"""Holds what was recorded against the policies of infra/policy, in this process: no engine, no CLI."""

import contextvars
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pulumi.runtime import set_all_config
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from infra.policy.policies import POLICIES
from tests.infra.cloud.recording import Registered


class Violation(NamedTuple):
    """What a policy said of a resource."""

    policy: str
    mandatory: bool
    resource: str
    message: str


def violations(resources: Iterable[Registered], config: Mapping[str, str] | None = None) -> list[Violation]:
    """Return what all policies say of these resources, in a stack of that config."""
    return contextvars.Context().run(_violations, list(resources), dict(config or {}))


def _violations(resources: list[Registered], config: dict[str, str]) -> list[Violation]:
    set_all_config(config)
    found = []
    for policy in POLICIES:
        mandatory = policy.enforcement_level is EnforcementLevel.MANDATORY
        for urn, message in _said(policy, resources):
            found.append(Violation(policy.name, mandatory, urn.rpartition("::")[2], message))
    return found


def _said(policy: Policy, resources: list[Registered]) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    if isinstance(policy, StackValidationPolicy):
        everything = StackValidationArgs([_resource(each) for each in resources])
        policy.validate(everything, lambda message, urn: said.append((urn or "", message)))
    elif isinstance(policy, ResourceValidationPolicy):
        for each in resources:
            arguments = ResourceValidationArgs(each.type, each.inputs, each.urn, each.name, _options(each), None)
            policy.validate(arguments, lambda message, _, urn=each.urn: said.append((urn, message)))  # type: ignore[misc]
    return said


def _options(each: Registered) -> PolicyResourceOptions:
    timeouts = PolicyCustomTimeouts(0, 0, 0)
    return PolicyResourceOptions(
        each.protect, list(each.ignore_changes), None, [], timeouts, list(each.additional_secret_outputs), each.parent
    )


def _resource(each: Registered) -> PolicyResource:
    return PolicyResource(
        each.type, {**each.outputs, **each.inputs}, each.urn, each.name, _options(each), None, None, [], {}
    )
