"""What infra/preview asks of Pulumi's CLI, which is not here: a program that notes it stands in its place.

No test is a preview: that one needs the CLI, the provider, and an account of Google.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "infra" / "preview"
NOTING = """#!/usr/bin/env bash
echo "$PULUMI_BACKEND_URL|$PWD|$*" >>"$NOTES"
case "$*" in
*"stack init"*) echo "encryptionsalt: v1:new" >>"Pulumi.$4.yaml" ;;
*"preview --stack $FAILS"*) exit 255 ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder with the programs that the script calls, and no other."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "dirname", "mktemp", "rm", "mkdir", "ln", "cp", "sed"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def run(tools: Path, *arguments: str, fails: str = "neither") -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": str(tools), "TMPDIR": str(tools.parent), "NOTES": str(tools / "notes"), "FAILS": fails}
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def stand_in(tools: Path) -> None:
    program = tools / "pulumi"
    program.write_text(NOTING)
    program.chmod(0o755)


def test_without_the_cli_one_line_says_where_to_get_it(tools: Path) -> None:
    done = run(tools)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "pulumi is not on the PATH: install it as https://www.pulumi.com/docs/iac/download-install/ says."
    ]
    assert not done.stdout


def test_both_stacks_are_previewed_with_the_policies_in_a_folder_that_is_thrown_away(tools: Path) -> None:
    stand_in(tools)
    files = {path: path.read_text() for path in (ROOT / "infra").glob("Pulumi*.yaml")}
    done = run(tools, "-c", "gcp:project=my-company-auth")
    assert done.returncode == 0, done.stderr
    calls = [line.split("|") for line in (tools / "notes").read_text().splitlines()]
    preview = "--non-interactive preview --stack {} --diff --policy-pack policy -c gcp:project=my-company-auth"
    assert [call for *_, call in calls] == [
        "--non-interactive stack init dev",
        preview.format("dev"),
        "--non-interactive stack init prod",
        preview.format("prod"),
    ]
    for backend, folder, _ in calls:
        assert backend.startswith(f"file://{tools.parent}/")
        assert folder.startswith(f"{tools.parent}/")
    assert list(tools.parent.iterdir()) == [tools]
    assert files == {path: path.read_text() for path in (ROOT / "infra").glob("Pulumi*.yaml")}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_one_that_fails_fails_the_whole_after_both(tools: Path, stack: str) -> None:
    stand_in(tools)
    assert run(tools, fails=stack).returncode == 1
    assert len((tools / "notes").read_text().splitlines()) == 4
