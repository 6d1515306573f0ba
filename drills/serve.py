"""`authsvc serve` with passwords that cost nothing: what is looked at is everything else, not the hash rate."""

import sys

from authsvc import __main__, config

PROFILE = "drill"


def main() -> None:
    """Serve as `authsvc serve` does, with one more profile to choose."""
    cheap = config.Argon2Profile(memory_kib=8, passes=1, lanes=1)
    profiles = {**config.PROFILES, PROFILE: cheap}
    for reader in (config, sys.modules["authsvc.password_settings"]):
        vars(reader)["PROFILES"] = profiles
    sys.argv = ["authsvc", "serve"]
    __main__.main()


if __name__ == "__main__":
    main()
