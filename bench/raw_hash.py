"""The physical limit of a login: argon2id with the service's parameters on as many threads, and nothing else."""

import sys
import threading
import time

import argon2

from authsvc import machine
from authsvc.config import PROFILES


def main(seconds: float) -> None:
    """Print hashes verified in a second."""
    profile = PROFILES["owasp-19mib"]
    hasher = argon2.PasswordHasher(profile.passes, profile.memory_kib, profile.lanes)
    stored = hasher.hash("correct horse battery staple")
    end = time.perf_counter() + seconds
    counts = [0] * machine.cpus()

    def work(index: int) -> None:
        while time.perf_counter() < end:
            hasher.verify(stored, "correct horse battery staple")
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(counts))]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts) / (time.perf_counter() - started))


if __name__ == "__main__":
    main(float(sys.argv[1]))
