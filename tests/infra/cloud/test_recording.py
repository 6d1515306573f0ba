"""The recorder keeps what the engine would be told, secrets and all."""

from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_random
import pytest

from infra.sizing.stack_file import filled_in
from tests.infra.cloud import cloud, stacks
from tests.infra.cloud.recording import Recording, record


def small() -> dict[str, Any]:
    parent = pulumi.ComponentResource("authsvc:components:Small", "small")
    opts = pulumi.ResourceOptions(parent=parent)
    password = pulumi_random.RandomPassword("password", length=32, opts=opts)
    instance = gcp.sql.DatabaseInstance(
        "instance",
        region=cloud.REGION,
        database_version="POSTGRES_17",
        opts=pulumi.ResourceOptions(parent=parent, protect=True, ignore_changes=["settings.diskSize"]),
    )
    user = gcp.sql.User("user", name="ada", instance=instance.name, password=password.result, opts=opts)
    url = pulumi.Output.format("postgresql://ada:{0}@{1}", user.password, instance.private_ip_address)
    env = gcp.cloudrunv2.ServiceTemplateContainerEnvArgs
    service = gcp.cloudrunv2.Service(
        "service",
        location=cloud.REGION,
        template=gcp.cloudrunv2.ServiceTemplateArgs(
            containers=[
                gcp.cloudrunv2.ServiceTemplateContainerArgs(
                    image="example", envs=[env(name="PLAIN", value="here"), env(name="URL", value=url)]
                )
            ]
        ),
        opts=opts,
    )
    project = gcp.organizations.get_project_output(project_id=cloud.PROJECT)
    return {"uri": service.uri, "url": url, "password": password.result, "number": project.number}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(small)


def test_a_resource_comes_with_its_options_and_what_it_depends_on(recording: Recording) -> None:
    instance, user = recording.one("sql/databaseInstance:DatabaseInstance"), recording.one("User")
    parent = recording.one("authsvc:components:Small")
    assert instance.inputs == {"region": cloud.REGION, "databaseVersion": "POSTGRES_17"}
    assert (instance.protect, instance.ignore_changes) == (True, ("settings.diskSize",))
    assert instance.parent == user.parent == parent.urn
    assert user.dependencies == {instance.urn, recording.one("RandomPassword").urn}
    assert not parent.custom


def test_a_secret_is_known_however_deep_it_lies(recording: Recording) -> None:
    service = recording.one("cloudrunv2/service:Service")
    deep = ("template", "containers", 0, "envs", 1, "value")
    assert service.secret_paths == {deep}
    assert service.is_secret(*deep)
    assert not service.is_secret("template", "containers", 0, "envs", 0, "value")
    assert recording.one("User").is_secret("password")
    assert "here" in [value for _, value in service.plain]
    assert not [value for _, value in service.plain if "postgresql" in str(value)]


def test_outputs_are_what_dependants_need(recording: Recording) -> None:
    assert recording.outputs["number"] == cloud.PROJECT_NUMBER
    assert recording.outputs["uri"] == "https://service-a1b2c3d-abcdefghij-ew.a.run.app"
    assert recording.outputs["url"].endswith("@10.1.0.2")
    assert recording.secret_outputs == {"url", "password"}
    assert [each.token for each in recording.invokes] == ["gcp:organizations/getProject:getProject"]


def test_each_run_begins_with_nothing(recording: Recording) -> None:
    assert [each.urn for each in record(small)] == [each.urn for each in recording]


def test_a_program_that_fails_fails_here_too() -> None:
    def late() -> None:
        gcp.storage.Bucket("bucket", location="EU").name.apply(lambda name: {}[name])

    with pytest.raises(KeyError, match="bucket-a1b2c3d"):
        record(late)


def test_a_function_without_an_answer_says_where_it_goes() -> None:
    with pytest.raises(Exception, match=r"getZones is called, and tests/infra/cloud/cloud\.py has no answer: add one"):
        record(lambda: {"zones": gcp.compute.get_zones_output().names})


def test_a_stack_file_is_filled_in_only_where_it_is_empty() -> None:
    values = {"gcp:region": "europe-west1", "authsvc:domain": "x.example", "authsvc:monitoring": {"emails": ["a@b.c"]}}
    file = {"gcp:region": "us-east1", "gcp:project": "", "authsvc:monitoring": {"emails": [], "sidecarImage": ""}}
    assert filled_in(file, values) == {**file, "authsvc:monitoring": {"emails": ["a@b.c"], "sidecarImage": ""}}
    over = {"authsvc:monitoring": {"emails": None}, "authsvc:image": None}
    assert stacks.merged(file, over) == {**file, "authsvc:monitoring": {"emails": None, "sidecarImage": ""}} | {
        "authsvc:image": None
    }
