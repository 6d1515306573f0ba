"""The physical limit of a never-seen token: signatures verified by the same library and key, and nothing else."""

import json
import sys
import time

from authsvc import key_sets


def main(seconds: float) -> None:
    """Print ES256 signatures verified in a second, one after another."""
    keys = key_sets.read_key_set(json.dumps({"keys": [key_sets.generate_key("ES256")]}))
    (key,) = keys.verification.values()
    message = b"x" * 380  # as long as a token of ours
    signature = keys.signing.sign(message)
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        if not key.verifies(message, signature):
            raise RuntimeError("the signature is good")
        count += 1
    print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main(float(sys.argv[1]))
