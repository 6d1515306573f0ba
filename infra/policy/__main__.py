"""What Pulumi starts for `--policy-pack infra/policy`: serves the policies to the engine until that is done."""

import sys
from pathlib import Path

# Pulumi's language host puts this folder on the path, and not the root, which has the package `infra` in it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pulumi_policy import PolicyPack

from infra.policy.policies import POLICIES

if __name__ == "__main__":
    PolicyPack("authsvc", POLICIES)
