"""What the service is told: its AUTHSVC_ variables, made of the stack's settings and read by the service's own code.

No secret stands in a variable: each is a file, mounted from Secret Manager, that a `…_FILE` variable names.
"""

from types import MappingProxyType

from authsvc.config import Config, ConfigError
from authsvc.config import settings as settings_of_the_service
from infra.budgets import pooled
from infra.settings import PROJECT, Settings, SettingsError

SIGNING_KEYS = "/secrets/signing-keys/keys.json"
REFRESH_SECRET = "/secrets/refresh/secret"  # noqa: S105 - a path
DATABASE_URL = "/secrets/database/url"
DATABASE_CA = "/secrets/database-ca/ca.pem"
SERVICE_PASSWORD = "/secrets/service-password/password"  # noqa: S105 - a path
"""For `authsvc migrate --service-password-file` alone; no variable names it."""
FILES = MappingProxyType(
    {
        "AUTHSVC_JWT_KEYS_FILE": SIGNING_KEYS,
        "AUTHSVC_REFRESH_SECRET_FILE": REFRESH_SECRET,
        "AUTHSVC_DATABASE_URL_FILE": DATABASE_URL,
    }
)
"""Variables that name a file, and the file."""

_SAMPLES = {
    "AUTHSVC_JWT_KEYS": '{"keys": [{}]}',
    "AUTHSVC_REFRESH_SECRET": "a-sample-of-32-bytes-for-checks-alone",
    "AUTHSVC_DATABASE_URL": "postgresql://authsvc@127.0.0.1/authsvc",
}


def environment(settings: Settings, public_url: str) -> dict[str, str]:
    """Return the variables of `authsvc serve`, of `migrate` and of `sweep`, by name."""
    service = settings.service
    return {
        "AUTHSVC_PUBLIC_URL": public_url,
        "AUTHSVC_TRUSTED_PROXIES": "cloud-run-load-balancer" if settings.edge.enabled else "cloud-run",
        "AUTHSVC_PASSWORD_THREADS": str(service.cpu),
        "AUTHSVC_DATABASE_POOLER": "transaction" if pooled(settings) else "none",
        "AUTHSVC_DATABASE_CAPACITY_BYTES": str(settings.database.disk_limit_gb * 10**9),
        "AUTHSVC_LOG_FORMAT": "json",
        "AUTHSVC_LOG_GOOGLE_PROJECT": settings.project,
        **service.settings,
        **FILES,
    }


def service_config(settings: Settings) -> Config:
    """Return what the service makes of these variables, with samples in place of its secrets.

    Raises:
        SettingsError: the service would not start with them; its own sentences, under the stack's key.
    """
    secrets = {each.name for each in settings_of_the_service() if each.secret}
    if shown := [name for name in settings.service.settings if name.removesuffix("_FILE") in secrets]:
        sentence = (
            f"{PROJECT}:service.settings has {', '.join(shown)}: a secret never stands in a stack file, it is a version"
            " of a secret in Secret Manager; take it out."
        )
        raise SettingsError([sentence])
    public_url = f"https://{settings.domain or 'authsvc.example.com'}"
    variables = {
        name: value for name, value in environment(settings, public_url).items() if name not in FILES
    } | _SAMPLES
    try:
        return Config.read(variables)
    except ConfigError as error:
        raise SettingsError([f"{PROJECT}:service.settings: {fault}" for fault in error.faults]) from None
