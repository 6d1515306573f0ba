"""The section of the configuration that says which passwords are accepted; config.py reads it with the others."""

from dataclasses import dataclass

from authsvc.environment import PROFILES, Argon2Profile, Secret, integer, one_of, range_url, seconds, variable


@dataclass(frozen=True)
class Passwords:
    """What is accepted, and how it is hashed."""

    min_length: int = variable(
        "AUTHSVC_PASSWORD_MIN_LENGTH",
        integer(8, 64),
        "8",
        "Fewest code points of a new password. NIST SP 800-63B-4 asks 15 where the password is the only factor.",
    )
    max_length: int = variable(
        "AUTHSVC_PASSWORD_MAX_LENGTH", integer(64, 1024), "256", "Most code points of a password."
    )
    profile: Argon2Profile = variable(
        "AUTHSVC_PASSWORD_PROFILE",
        lambda text: PROFILES[one_of(*PROFILES)(text)],
        "owasp-19mib",
        f"Parameters of argon2id: {', '.join(PROFILES)}.",
    )
    threads: int = variable(
        "AUTHSVC_PASSWORD_THREADS",
        integer(0, 256),
        "0",
        "Passwords hashed at one time; each takes the profile's memory. 0: one for each CPU that this process may use,"
        " as far as its memory goes.",
    )
    queue_seconds: float = variable(
        "AUTHSVC_PASSWORD_QUEUE_SECONDS",
        seconds(0.1, 60),
        "1",
        "Longest expected wait for a hash; beyond it 503, at once.",
    )
    refusal_seconds: float = variable(
        "AUTHSVC_PASSWORD_REFUSAL_SECONDS",
        seconds(0, 10),
        "0.5",
        "A wrong password is told so this long after its comparison began, that the time does not tell how the stored"
        " hash was made.",
    )
    breached_url: Secret | None = variable(
        "AUTHSVC_BREACHED_PASSWORDS_URL",
        range_url,
        None,
        "k-anonymity range endpoint that new passwords are looked up at, such as `https://host/range`.",
    )
    breached_seconds: float = variable(
        "AUTHSVC_BREACHED_PASSWORDS_SECONDS",
        seconds(0.05, 10),
        "1",
        "Longest wait for its answer; without one the password is taken, and that is counted.",
    )
