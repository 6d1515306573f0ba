"""The check against the SDK's own types sees each kind of mistake that mocks let pass."""

from typing import Any

import pulumi_gcp as gcp
import pytest

from tests.infra.cloud import cloud, schema
from tests.infra.cloud.recording import record


def service(**template: Any) -> list[str]:
    def program() -> None:
        gcp.cloudrunv2.Service("service", location=cloud.REGION, template=template)

    return schema.faults(record(program).one("Service"))


CONTAINER = {"image": "example"}


def test_what_is_right_passes() -> None:
    resources = {"limits": {"cpu": "1", "memory": "512Mi"}, "cpu_idle": False}
    probe = {"http_get": {"path": "/livez", "port": 9090}, "period_seconds": 5}
    container = {**CONTAINER, "resources": resources, "liveness_probe": probe}
    scaling = {"max_instance_count": 3, "cpu_utilization": 0.6}
    assert not service(containers=[container], scaling=scaling, execution_environment="EXECUTION_ENVIRONMENT_GEN2")


@pytest.mark.parametrize(
    "template, fault",
    [
        ({"containers": [{}]}, "containers[0].image is missing; ServiceTemplateContainerArgs requires it"),
        ({"containers": [CONTAINER | {"envs": [{"value": "x"}]}]}, "envs[0].name is missing"),
        ({"containers": [CONTAINER | {"image_": "x"}]}, "image_ is no argument of ServiceTemplateContainerArgs"),
        ({"containers": [CONTAINER], "serviceacount": "x"}, "serviceacount is no argument of ServiceTemplateArgs"),
        (
            {"containers": [CONTAINER], "execution_environment": "GEN9"},
            "executionEnvironment is 'GEN9', and should be one of EXECUTION_ENVIRONMENT_GEN1, EXECUTION_",
        ),
        (
            {"containers": [CONTAINER], "max_instance_request_concurrency": "eighty"},
            "maxInstanceRequestConcurrency is str 'eighty', and should be int",
        ),
        ({"containers": [CONTAINER], "session_affinity": 1}, "sessionAffinity is int 1, and should be bool"),
        ({"containers": [CONTAINER], "timeout": 30}, "timeout is int 30, and should be str"),
        ({"containers": [CONTAINER], "timeout": True}, "timeout is bool True, and should be str"),
        (
            {"containers": [CONTAINER], "scaling": "many"},
            "scaling is str 'many', and should be ServiceTemplateScalingArgs",
        ),
        ({"containers": [CONTAINER], "labels": {"a": 1}}, "labels.a is int 1, and should be str"),
    ],
)
def test_a_mistake_in_a_nested_dictionary_is_seen(template: dict[str, Any], fault: str) -> None:
    (found,) = service(**template)
    assert fault in found


def test_another_class_of_arguments_is_seen() -> None:
    def program() -> None:
        wrong: Any = gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(startup_cpu_boost=True)
        container = gcp.cloudrunv2.ServiceTemplateContainerArgs(image="example", startup_probe=wrong)
        gcp.cloudrunv2.Service(
            "service",
            location=cloud.REGION,
            template=gcp.cloudrunv2.ServiceTemplateArgs(containers=[container]),
        )

    (fault,) = schema.faults(record(program).one("Service"))
    assert "startupProbe.startupCpuBoost is no argument of ServiceTemplateContainerStartupProbeArgs" in fault


@pytest.mark.parametrize(
    "kind, name, values",
    [
        ("gcp:cloudrunv2/service:Service", "ingress", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"),
        ("gcp:sql/databaseInstance:DatabaseInstance", "databaseVersion", "POSTGRES_17"),
        ("gcp:storage/bucket:Bucket", "publicAccessPrevention", "enforced"),
        ("gcp:storage/bucket:Bucket", "storageClass", "NEARLINE"),
        ("gcp:secretmanager/secretVersion:SecretVersion", "deletionPolicy", "ABANDON"),
        ("gcp:monitoring/alertPolicy:AlertPolicy", "combiner", "OR"),
        ("gcp:compute/globalForwardingRule:GlobalForwardingRule", "loadBalancingScheme", "EXTERNAL_MANAGED"),
    ],
)
def test_documented_values_are_found_in_each_way_they_are_written(kind: str, name: str, values: str) -> None:
    allowed = schema.documented(schema.arguments_of(kind))[name]
    assert values in allowed
    assert len(allowed) > 1


def test_numbers_of_prose_are_no_values() -> None:
    said = schema._values("`A`, `B` (of old), and `C`. If `D`, then `E`.")
    assert said == ["A", "B", "C"]
    assert schema._values("1 through 65535.") == []
