"""How a policy is written: a function whose docstring is what people read, and which yields where it is broken."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from infra.settings import PROJECT

POLICIES: list[Policy] = []
"""All of them, in the order in which they are written."""

Check = Callable[[ResourceValidationArgs], Iterator[str]]
StackCheck = Callable[[StackValidationArgs], Iterator[tuple[str, str]]]


def in_production() -> bool:
    """Tell whether the stack is one for real people; what does not say so is."""
    return pulumi.Config(PROJECT).get_bool("production") is not False


def of_resources(*kinds: str, production: bool = False, advisory: bool = False) -> Callable[[Check], Check]:
    """Make a policy of a function that yields, for a resource, what of it breaks the rule.

    Args:
        kinds: types without their package, such as `sql/databaseInstance:DatabaseInstance`; none: every type.
        production: only stacks for real people are held to it.
        advisory: it warns, and does not refuse.
    """

    def register(check: Check) -> Check:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            if kinds and kind_of(args) not in kinds:
                return
            if production and not in_production():
                return
            # In a preview; it is judged again, before it is made, when all is known.
            with suppress(UnknownValueError):
                for where in check(args):
                    report(where, None)

        level = EnforcementLevel.ADVISORY if advisory else EnforcementLevel.MANDATORY
        POLICIES.append(
            ResourceValidationPolicy(_name(check), _sentence(check), validate=validate, enforcement_level=level)
        )
        return check

    return register


def of_stacks(check: StackCheck) -> StackCheck:
    """Make a mandatory policy, for production, of a function that yields a URN and what breaks the rule there."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        if in_production():
            with suppress(UnknownValueError):
                for urn, where in check(args):
                    report(where, urn)

    POLICIES.append(
        StackValidationPolicy(
            _name(check), _sentence(check), validate=validate, enforcement_level=EnforcementLevel.MANDATORY
        )
    )
    return check


def kind_of(resource: ResourceValidationArgs | PolicyResource) -> str:
    """Return the type of a resource without its package, `sql/user:User`."""
    return resource.resource_type.partition(":")[2]


def at(properties: Any, path: str) -> Any:  # noqa: ANN401 - what a resource may hold
    """Return what lies at `settings.tier`; nothing where a part of the path is not there."""
    for key in path.split("."):
        properties = properties.get(key) if isinstance(properties, Mapping) else None
    return properties


def _name(check: Callable[..., Any]) -> str:
    return check.__name__.replace("_", "-")


def _sentence(check: Callable[..., Any]) -> str:
    sentence = inspect.getdoc(check)
    assert sentence  # noqa: S101 - a policy without a sentence helps nobody
    return " ".join(sentence.split())
