"""Tells templates of Cloud Run apart: what comes of one keeps its name as long as nothing of it changes."""

import hashlib
import json

import pulumi


def fingerprint(template: object) -> pulumi.Output[str]:
    """Return the SHA-256, in hexadecimal, of arguments with all that is in them; no secret, as they hold none."""

    def of(resolved: object) -> str:
        return hashlib.sha256(json.dumps(resolved, default=vars, sort_keys=True).encode()).hexdigest()

    return pulumi.Output.unsecret(pulumi.Output.from_input(template).apply(of))
