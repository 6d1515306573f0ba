"""What infra/push-image asks of docker and of Pulumi: programs that note it stand in their place, neither is here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "infra" / "push-image"
REPOSITORY = "europe-west1-docker.pkg.dev/my-company-auth/authsvc"
DIGEST = "sha256:" + "0123456789abcdef" * 4
PULUMI = f"""#!/usr/bin/env bash
echo "$*" >>"$NOTES"
case "$*" in *"stack output"*) echo {REPOSITORY} ;; esac
"""
DOCKER = f"""#!/usr/bin/env bash
echo "$*" >>"$NOTES"
while [ $# -gt 0 ]; do
    case "$1" in --metadata-file) echo '{json.dumps({"containerimage.digest": DIGEST})}' >"$2" ;; esac
    shift
done
"""
TOOLS = ("bash", "env", "dirname", "mktemp", "rm", "git", "grep")
# A clock that is another second each time it is asked, so that no test waits for one.
DATE = """#!/usr/bin/env bash
echo x >>"$NOTES.clock"
printf '20260101t0000%02d\\n' "$(grep -c x "$NOTES.clock")"
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder with the programs that the script calls, and no other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    for name, text in (("pulumi", PULUMI), ("docker", DOCKER), ("date", DATE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run(tools: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(tools), "TMPDIR": str(tools.parent), "NOTES": str(tools / "notes")}
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_each_build_has_a_tag_of_its_own_and_its_digest_goes_into_the_stack_file(tools: Path) -> None:
    for _ in range(2):
        done = run(tools, "prod", "--build-arg", "PYTHON_DIGEST=sha256:x")
        assert done.returncode == 0, done.stderr
    calls = (tools / "notes").read_text().splitlines()
    builds = [call.split() for call in calls if call.startswith("buildx build")]
    tags = [build[build.index("--tag") + 1] for build in builds]
    # The registry's tags are immutable: a second push to one would be refused.
    assert len(set(tags)) == 2
    assert all(tag.startswith(f"{REPOSITORY}/authsvc:") and len(tag.rpartition(":")[2]) <= 128 for tag in tags)
    for build in builds:
        assert build[build.index("--platform") + 1] == "linux/amd64"
        assert build[-3:] == ["--build-arg", "PYTHON_DIGEST=sha256:x", "."]
    assert calls[-1] == f"--cwd infra config set authsvc:image {REPOSITORY}/authsvc@{DIGEST} --stack prod"


@pytest.mark.parametrize("missing", ["docker", "pulumi"])
def test_without_a_tool_one_line_says_which(tools: Path, missing: str) -> None:
    (tools / missing).unlink()
    done = run(tools, "prod")
    assert done.returncode == 1
    assert done.stderr == f"infra/push-image needs {missing} on the PATH: see infra/README.md\n"
