"""What Google Cloud would answer: of each resource the outputs that others are made of, in their documented shape."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]

from infra.sizing import stack_file

PROJECT = "my-company-auth"
PROJECT_NUMBER = "123456789012"
REGION = "europe-west1"
SUFFIX = "a1b2c3d"
"""Stands for the seven hexadecimal digits that Pulumi adds to a logical name where no physical one is given."""
_TLS = "sslmode=verify-full&sslrootcert=/secrets/database-ca/ca.pem"
SECRET_DATA = {
    "distributed-url": f"postgresql://authsvc:of%2Fthe-service@db.example.com:26257/authsvc?{_TLS}",
    "distributed-owner-url": f"postgresql://authsvc_owner:of-the-owner@db.example.com:26257/authsvc?{_TLS}",
}
"""What the secrets that people made hold, by name."""
CERTIFICATE = stack_file.CERTIFICATE


class RefusedError(grpc.RpcError):  # type: ignore[misc]
    """What the provider answers where a function of it fails; a program may catch what comes of it."""

    def code(self) -> grpc.StatusCode:
        """Return what the engine makes of each."""
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        """Return what is wrong."""
        return str(self)


class Made(NamedTuple):
    """A resource that is there."""

    id: str
    state: dict[str, Any]


@dataclass(frozen=True)
class Cloud:
    """A project of Google Cloud in which everything succeeds."""

    project: str
    region: str

    def make(self, kind: str, logical: str, inputs: dict[str, Any]) -> Made:
        """Return the id and the state of a resource of type `kind`."""
        state = {"name": f"{logical}-{SUFFIX}", "project": self.project, **inputs}
        if kind in _METHODS:
            state |= getattr(self, f"_{_METHODS[kind]}")(state)
        module, _, resource = kind.split(":")[1].partition("/")
        name = str(state["name"])
        path = name if name.startswith("projects/") else f"projects/{self.project}/{module}/{name}"
        if module == "compute":
            place = f"regions/{inputs['region']}" if "region" in inputs else "global"
            path = f"projects/{self.project}/{place}/{resource}s/{name}"
            state.setdefault("selfLink", f"https://www.googleapis.com/compute/v1/{path}")
        return Made(str(state.pop("id", path)), state)

    def answer(self, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what a function of the provider returns."""
        match token:
            case "gcp:organizations/getProject:getProject":
                project = arguments.get("projectId", self.project)
                return {"id": f"projects/{project}", "number": PROJECT_NUMBER, "projectId": project, "name": project}
            case "gcp:organizations/getClientConfig:getClientConfig":
                return {"id": "x", "project": self.project, "region": self.region, "zone": f"{self.region}-b"}
            case "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":
                email = f"service-{PROJECT_NUMBER}@gs-project-accounts.iam.gserviceaccount.com"
                return {"id": email, "emailAddress": email, "member": f"serviceAccount:{email}"}
            case "gcp:secretmanager/getSecretVersion:getSecretVersion":
                return {"secret": arguments["secret"], "secretData": SECRET_DATA[arguments["secret"]] + "\n"}
            case "gcp:cloudrunv2/getJob:getJob":
                return self._existing_job(str(arguments["name"]))
            case "gcp:cloudrunv2/getService:getService":
                return self._existing_service(str(arguments["name"]))
        raise AssertionError(f"{token} is called, and tests/infra/cloud/cloud.py has no answer: add one.")

    def _existing_job(self, name: str) -> dict[str, Any]:
        # Nothing was made yet.
        raise RefusedError(f"projects/{self.project}/locations/{self.region}/jobs/{name} not found")

    def _existing_service(self, name: str) -> dict[str, Any]:
        raise RefusedError(f"projects/{self.project}/locations/{self.region}/services/{name} not found")

    def _random_password(self, state: dict[str, Any]) -> dict[str, Any]:
        # Each password is another one, so that a test sees whose it is.
        result = f"{state['name']}-".ljust(int(state["length"]), "x")
        return {"result": result, "bcryptHash": "$2a$", "id": "none"}

    def _sql_database_instance(self, state: dict[str, Any]) -> dict[str, Any]:
        name = state["name"]
        # A replica is somewhere else.
        address = "10.2.0.2" if state.get("masterInstanceName") else "10.1.0.2"
        return {
            "privateIpAddress": address,
            "firstIpAddress": address,
            "connectionName": f"{self.project}:{state['region']}:{name}",
            "serviceAccountEmailAddress": f"p{PROJECT_NUMBER}-abcdef@gcp-sa-cloud-sql.iam.gserviceaccount.com",
            "serverCaCerts": [{"cert": CERTIFICATE, "commonName": "CN", "sha1Fingerprint": "ab" * 20}],
            "selfLink": f"https://sqladmin.googleapis.com/sql/v1beta4/projects/{self.project}/instances/{name}",
            "id": name,
        }

    def _alloydb_cluster(self, state: dict[str, Any]) -> dict[str, Any]:
        name = f"projects/{self.project}/locations/{state['location']}/clusters/{state['clusterId']}"
        return {"name": name, "uid": "1"}

    def _alloydb_instance(self, state: dict[str, Any]) -> dict[str, Any]:
        address = {"READ_POOL": "10.1.0.4", "SECONDARY": "10.2.0.3"}.get(state.get("instanceType", ""), "10.1.0.3")
        return {"name": f"{state['cluster']}/instances/{state['instanceId']}", "ipAddress": address}

    def _service_account(self, state: dict[str, Any]) -> dict[str, Any]:
        email = f"{state['accountId']}@{self.project}.iam.gserviceaccount.com"
        name = f"projects/{self.project}/serviceAccounts/{email}"
        return {"name": name, "email": email, "member": f"serviceAccount:{email}", "uniqueId": "1" * 21}

    def _service_identity(self, state: dict[str, Any]) -> dict[str, Any]:
        email = f"service-{PROJECT_NUMBER}@gcp-sa-{state['service'].partition('.')[0]}.iam.gserviceaccount.com"
        return {"email": email, "member": f"serviceAccount:{email}"}

    def _custom_role(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"name": f"projects/{self.project}/roles/{state['roleId']}"}

    def _secret(self, state: dict[str, Any]) -> dict[str, Any]:
        secret = state["secretId"]
        name = f"projects/{PROJECT_NUMBER}/secrets/{secret}"
        return {"name": name, "id": f"projects/{self.project}/secrets/{secret}"}

    def _secret_version(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"version": "1", "name": f"{state['secret']}/versions/1", "enabled": True}

    def _run_service(self, state: dict[str, Any]) -> dict[str, Any]:
        name = state["name"]
        urls = [
            f"https://{name}-{PROJECT_NUMBER}.{state['location']}.run.app",
            f"https://{name}-abcdefghij-ew.a.run.app",
        ]
        revision = f"{name}-00001-abc"
        tagged = [
            {**each, "uri": f"https://{each['tag']}---{name}-abcdefghij-ew.a.run.app"}
            for each in state.get("traffics", [])
            if "tag" in each
        ]
        return {
            "uri": urls[1],
            "urls": urls,
            "latestReadyRevision": revision,
            "latestCreatedRevision": revision,
            "trafficStatuses": tagged,
        }

    def _run_job(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"latestCreatedExecutions": [{"name": f"{state['name']}-abcde"}], "executionCount": 1}

    def _repository(self, state: dict[str, Any]) -> dict[str, Any]:
        name = state["repositoryId"]
        return {"name": name, "registryUri": f"{state['location']}-docker.pkg.dev/{self.project}/{name}"}

    def _bucket(self, state: dict[str, Any]) -> dict[str, Any]:
        name = state["name"]
        return {"url": f"gs://{name}", "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}", "id": name}

    def _global_address(self, state: dict[str, Any]) -> dict[str, Any]:
        outside = "2001:db8::" if state.get("ipVersion") == "IPV6" else "203.0.113.10"
        return {"address": "10.1.0.0" if state.get("addressType") == "INTERNAL" else outside}

    def _dns_authorization(self, state: dict[str, Any]) -> dict[str, Any]:
        record = {"name": f"_acme-challenge.{state['domain']}.", "type": "CNAME", "data": "1.authorize.example."}
        return {"dnsResourceRecords": [record]}

    def _notification_channel(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"name": f"projects/{self.project}/notificationChannels/{state['name']}"}

    def _alert_policy(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"name": f"projects/{self.project}/alertPolicies/{state['name']}"}

    def _uptime_check(self, state: dict[str, Any]) -> dict[str, Any]:
        check = state["name"]
        return {"uptimeCheckId": check, "name": f"projects/{self.project}/uptimeCheckConfigs/{check}"}

    def _monitoring_service(self, state: dict[str, Any]) -> dict[str, Any]:
        service = state.get("serviceId", state["name"])
        return {"serviceId": service, "name": f"projects/{PROJECT_NUMBER}/services/{service}"}

    def _slo(self, state: dict[str, Any]) -> dict[str, Any]:
        slo = state.get("sloId", state["name"])
        return {"name": f"projects/{PROJECT_NUMBER}/services/{state['service']}/serviceLevelObjectives/{slo}"}


_METHODS = {
    "random:index/randomPassword:RandomPassword": "random_password",
    "gcp:sql/databaseInstance:DatabaseInstance": "sql_database_instance",
    "gcp:alloydb/cluster:Cluster": "alloydb_cluster",
    "gcp:alloydb/instance:Instance": "alloydb_instance",
    "gcp:serviceaccount/account:Account": "service_account",
    "gcp:projects/iAMCustomRole:IAMCustomRole": "custom_role",
    "gcp:projects/serviceIdentity:ServiceIdentity": "service_identity",
    "gcp:secretmanager/secret:Secret": "secret",
    "gcp:secretmanager/secretVersion:SecretVersion": "secret_version",
    "gcp:cloudrunv2/service:Service": "run_service",
    "gcp:cloudrunv2/job:Job": "run_job",
    "gcp:artifactregistry/repository:Repository": "repository",
    "gcp:storage/bucket:Bucket": "bucket",
    "gcp:compute/globalAddress:GlobalAddress": "global_address",
    "gcp:certificatemanager/dnsAuthorization:DnsAuthorization": "dns_authorization",
    "gcp:monitoring/notificationChannel:NotificationChannel": "notification_channel",
    "gcp:monitoring/alertPolicy:AlertPolicy": "alert_policy",
    "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig": "uptime_check",
    "gcp:monitoring/genericService:GenericService": "monitoring_service",
    "gcp:monitoring/customService:CustomService": "monitoring_service",
    "gcp:monitoring/slo:Slo": "slo",
}
