"""A stack file that cannot be built: one sentence a fault, with its key and the fix, and nothing is registered."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra import __main__ as program
from infra.settings import Section, Settings
from tests.infra.cloud import cloud, recording, stacks
from tests.infra.cloud.bad_input import FAULTS, REGION, database, service

INFRA = Path(program.__file__).parent


def on_the_wire(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's config as Pulumi hands it to a program."""

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return {key: text(value) for key, value in config.items()}


def config(changes: Mapping[str, Any], stack: str = "prod") -> dict[str, str]:
    """Return the config of the repository's stack file, filled in and changed."""
    return on_the_wire(stacks.config(stack, changes))


def refused(given: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, stack: str = "prod") -> list[str]:
    """Run the program; return its sentences, having seen that nothing was registered or asked of the cloud."""
    registered = recording.Recording()
    monkeypatch.setattr(recording, "Recording", lambda: registered)
    with pytest.raises(pulumi.RunError) as error:
        recording.record(program.main, stack=stack, config=given)
    assert registered == []
    assert registered.invokes == []
    heading, *sentences = str(error.value).split("\n")
    assert heading == f"Pulumi.{stack}.yaml cannot be built:"
    return [sentence.strip() for sentence in sentences]


@pytest.mark.parametrize("changes, key, fix", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence_with_its_key_and_what_to_do_before_anything_is_registered(
    changes: Mapping[str, Any], key: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sentence,) = refused(config(changes), monkeypatch)
    pattern = f"{re.escape(key)}:? .*{re.escape(fix).replace('…', '.*')}.*"
    assert re.fullmatch(pattern, sentence), sentence


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = {
        **service(minInstances=0),
        **database(pitrDays=0, highlyAvailable=False, tier="db-f1-micro"),
        "authsvc:edge": {"enabled": False},
        "authsvc:backup": {"region": REGION},
        "authsvc:monitoring": {"emails": [], "pagerEmails": []},
    }
    keys = {sentence.split()[0] for sentence in refused(config(asleep), monkeypatch)}
    sections = (
        "edge.enabled",
        "service.minInstances",
        "database.highlyAvailable",
        "database.pitrDays",
        "database.tier",
        "database.maxConnections",
    )
    assert keys == {f"authsvc:{key}" for key in (*sections, "backup.region", "monitoring.emails")}


def test_a_stack_file_as_it_comes_says_what_is_to_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {stack: yaml.safe_load((INFRA / f"Pulumi.{stack}.yaml").read_text())["config"] for stack in stacks.STACKS}
    for stack, file in files.items():
        told = refused(on_the_wire(file), monkeypatch, stack)
        assert [sentence.split()[0] for sentence in told] == ["gcp:project", "gcp:region"]
    located = {**files["prod"], "gcp:project": cloud.PROJECT, "gcp:region": REGION}
    told = refused(on_the_wire(located), monkeypatch)
    assert [sentence.split()[0] for sentence in told] == [
        "authsvc:domain",
        "authsvc:backup.region",
        "authsvc:monitoring.emails",
    ]


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_what_the_program_exports_says_what_to_do_next_and_holds_no_secret(stack: str) -> None:
    """Filled in, and without an image yet: `pulumi up` the first time."""
    made = recording.record(lambda: exported(program.main), stack=stack, config=config({"authsvc:image": ""}, stack))
    assert made.outputs["repository"] == f"{REGION}-docker.pkg.dev/{cloud.PROJECT}/authsvc"
    assert made.outputs["next_step"].startswith(f"Push the image to {made.outputs['repository']}/authsvc")
    assert not made.secret_outputs
    assert not made.of("cloudrunv2/service:Service")


def exported(run: Callable[[], None]) -> dict[str, Any]:
    """Run a program; return what it exports."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi, "export", found.__setitem__)
        run()
    return found


def test_the_program_finds_its_modules_as_the_language_host_starts_it(tmp_path: Path) -> None:
    """With this folder on the path, and not the one above; without a traceback where settings are missing."""
    host = f"""
import pulumi, runpy, sys
sys.path.insert(0, {str(INFRA)!r})
pulumi.runtime.configure(pulumi.runtime.Settings(project="authsvc", stack="prod"))
try:
    runpy.run_path({str(INFRA)!r}, run_name="__main__")
except pulumi.RunError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", host],
        env={"PULUMI_CONFIG": json.dumps({"gcp:region": REGION})},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == [
        "Pulumi.prod.yaml cannot be built:",
        "  gcp:project is missing: set it with `pulumi config set gcp:project …`.",
    ]


def keys_of(section: type[Section], prefix: str = "") -> Iterator[str]:
    for field in section.model_fields.values():
        key = f"{prefix}{field.alias}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from keys_of(inner, f"{key}.")
        else:
            yield key


def test_every_setting_stands_in_the_file_of_production_with_its_reason_above() -> None:
    text = (INFRA / "Pulumi.prod.yaml").read_text()
    found = yaml.safe_load(text)["config"]
    given = {
        f"{name.split(':')[1]}.{key}" if isinstance(value, dict) else name.split(":")[1]
        for name, value in found.items()
        for key in (value if isinstance(value, dict) else [""])
    }
    assert given == set(keys_of(Settings)) - {"stack"}
    lines = text.splitlines()
    unexplained = [
        line
        for above, line in pairwise(lines)
        if re.match(r" +\S+: \S", line) and not line.lstrip().startswith("#") and not above.lstrip().startswith("#")
    ]
    assert unexplained == []
