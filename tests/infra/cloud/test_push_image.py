"""infra/push-image: what it asks of docker and of pulumi, each a program here that notes how it was called."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "infra" / "push-image"
REPOSITORY = "europe-west1-docker.pkg.dev/my-company-auth/authsvc"
DIGEST = "sha256:" + "0123456789abcdef" * 4
PULUMI = f"""#!/usr/bin/env bash
printf '%s\\n' "pulumi $*" >>"$NOTES"
case "$*" in
*"stack output repository"*) [ -z "$EMPTY" ] || exit 255; echo "{REPOSITORY}" ;;
esac
"""
DOCKER = f"""#!/usr/bin/env bash
printf '%s\\n' "docker $*" >>"$NOTES"
[ -z "$BROKEN" ] || exit 1
while [ "$1" != --metadata-file ]; do shift; done
echo '{json.dumps({"containerimage.digest": DIGEST})}' >"$2"
"""


class Checkout:
    """A repository with the script in it, and a PATH of a few programs."""

    def __init__(self, folder: Path) -> None:
        self.root, self.tools, self.scratch = folder / "checkout", folder / "bin", folder / "scratch"
        for each in (self.root / "infra", self.tools, self.scratch):
            each.mkdir(parents=True)
        for name in ("bash", "env", "dirname", "mktemp", "rm", "date", "git"):
            (self.tools / name).symlink_to(str(shutil.which(name)))
        (self.tools / "python3").symlink_to(sys.executable)
        for name, text in (("docker", DOCKER), ("pulumi", PULUMI)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        shutil.copy(SCRIPT, self.root / "infra")
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message", "all")
        self.revision = self.git("rev-parse", "--short=12", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        """Run git in the repository; return what it prints."""
        return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True).stdout

    def push(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the script from another folder."""
        return subprocess.run(
            [self.root / "infra" / "push-image", *arguments],
            cwd=self.scratch.parent,
            env={"PATH": str(self.tools), "TMPDIR": str(self.scratch), "NOTES": str(self.notes), "EMPTY": "",
                 "BROKEN": "", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )  # fmt: skip

    @property
    def notes(self) -> Path:
        """Where calls are noted."""
        return self.tools.parent / "notes"

    @property
    def calls(self) -> list[str]:
        """How docker and pulumi were called."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_image_of_this_commit_is_pushed_and_the_stack_names_it_by_its_digest(checkout: Checkout) -> None:
    done = checkout.push("prod", "--build-arg", "PYTHON_DIGEST=@sha256:1")
    assert done.returncode == 0, done.stderr
    asked, built, told = checkout.calls
    assert asked == "pulumi --cwd infra stack output repository --stack prod"
    assert built.startswith("docker buildx build --platform linux/amd64 --push --tag ")
    assert re.search(rf"--tag {REPOSITORY}/authsvc:{checkout.revision}-\d{{8}}-\d{{6}} ", built)
    assert f"--build-arg REVISION={checkout.revision} " in built
    assert built.endswith(" --build-arg PYTHON_DIGEST=@sha256:1 .")
    image = f"{REPOSITORY}/authsvc@{DIGEST}"
    assert told == f"pulumi --cwd infra config set authsvc:image {image} --stack prod"
    assert image in done.stdout
    assert not list(checkout.scratch.iterdir())


def test_what_was_not_committed_is_said_in_the_tag_and_in_the_image(checkout: Checkout) -> None:
    (checkout.root / "new").touch()
    assert checkout.push("dev").returncode == 0
    assert f"/authsvc:{checkout.revision}-changed-" in checkout.calls[1]
    assert f"--build-arg REVISION={checkout.revision}-changed " in checkout.calls[1]


@pytest.mark.parametrize("tool", ["docker", "git", "pulumi", "python3"])
def test_a_tool_that_is_missing_is_one_sentence_before_anything_is_built(checkout: Checkout, tool: str) -> None:
    (checkout.tools / tool).unlink()
    done = checkout.push("prod")
    assert done.returncode == 1
    assert done.stderr == f"infra/push-image needs {tool} on the PATH: see infra/README.md\n"
    assert checkout.calls == []


def test_without_a_stack_it_says_which_argument_it_wants(checkout: Checkout) -> None:
    done = checkout.push()
    assert done.returncode != 0
    assert "Say for which stack: infra/push-image prod" in done.stderr
    assert checkout.calls == []


def test_a_stack_without_a_registry_says_what_comes_first_and_builds_nothing(checkout: Checkout) -> None:
    done = checkout.push("prod", EMPTY="1")
    assert done.returncode == 1
    assert done.stderr == "The stack prod has no registry yet: run `pulumi up` in infra/ first.\n"
    assert len(checkout.calls) == 1


def test_an_image_that_cannot_be_built_leaves_the_stack_as_it_is(checkout: Checkout) -> None:
    assert checkout.push("prod", BROKEN="1").returncode == 1
    assert [call.split(" ")[0] for call in checkout.calls] == ["pulumi", "docker"]
    assert not list(checkout.scratch.iterdir())
