"""The physical limit of a never-seen token: ES256 verified by the library, one after another, and nothing else."""

import sys
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec


def main(seconds: float) -> None:
    """Print signatures verified in a second."""
    key = ec.generate_private_key(ec.SECP256R1())
    message, algorithm = b"x" * 380, ec.ECDSA(hashes.SHA256())
    signature, public = key.sign(message, algorithm), key.public_key()
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        public.verify(signature, message, algorithm)
        count += 1
    print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main(float(sys.argv[1]))
