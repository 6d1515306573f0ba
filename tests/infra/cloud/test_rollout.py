"""A rollout: who gets what share, what is checked before, and that going back asks nobody."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from infra import candidate, rollout
from infra.candidate import Candidate, Probe
from infra.components.edge import CANDIDATE_HEADER
from infra.rollout import ALL, Change, RolloutError, State
from infra.settings import Settings, SettingsError
from tests.cli.conftest import CREDENTIALS
from tests.conftest import Client
from tests.infra.cloud import stacks

OLD, NEW = "authsvc-00000000-aaaaaaaa", "authsvc-01234567-bbbbbbbb"
SERVING = f"europe-west1-docker.pkg.dev/my-company-auth/authsvc/authsvc@sha256:{'67' * 32}"
IMAGE = f"europe-west1-docker.pkg.dev/my-company-auth/authsvc/authsvc@sha256:{'89' * 32}"
KEY = "k" * 32


def test_a_new_version_begins_without_traffic_beside_the_one_that_serves() -> None:
    assert rollout.begin(State(ALL, None, OLD, SERVING), IMAGE) == Change(0, OLD, IMAGE)
    assert rollout.begin(State(ALL, "authsvc-before", OLD, SERVING), IMAGE) == Change(0, OLD, IMAGE)


def test_after_going_back_the_next_one_begins_beside_what_serves_and_not_beside_what_was_left() -> None:
    assert rollout.begin(State(0, OLD, NEW, SERVING), IMAGE) == Change(0, OLD, IMAGE)


def test_the_steps_in_order_and_back_from_each_of_them() -> None:
    state = State(0, OLD, NEW, IMAGE)
    assert rollout.share(state, 10) == Change(10, OLD, IMAGE)
    assert rollout.finish(State(10, OLD, NEW, IMAGE)) == Change(ALL, OLD, IMAGE)
    for percent in (1, 10, 99, ALL):
        assert rollout.back(State(percent, OLD, NEW, IMAGE)) == Change(0, OLD, IMAGE)


@pytest.mark.parametrize(
    "decide, fault",
    [
        (lambda: rollout.begin(State(10, OLD, NEW, IMAGE), IMAGE), "has 10 % of the traffic: run finish or back first"),
        (lambda: rollout.begin(State(ALL, None, None, IMAGE), IMAGE), "No revision serves yet"),
        (lambda: rollout.share(State(ALL, OLD, NEW, IMAGE), 10), "run begin first"),
        (lambda: rollout.share(State(0, None, NEW, IMAGE), 10), "run begin first"),
        (lambda: rollout.finish(State(ALL, None, NEW, IMAGE)), "run begin first"),
        (lambda: rollout.back(State(ALL, None, NEW, IMAGE)), "no other revision"),
        (lambda: rollout.back(State(ALL, NEW, NEW, IMAGE)), "no other revision"),
        (lambda: rollout.back(State(0, OLD, NEW, IMAGE)), f"{OLD} serves everything already"),
    ],
)
def test_a_step_that_makes_no_sense_now_is_refused(decide: Any, fault: str) -> None:
    with pytest.raises(RolloutError, match=fault):
        decide()


def url_of(client: Client) -> str:
    return str(client.make_url("/")).rstrip("/")


async def test_a_service_that_is_well_has_no_faults_and_its_probe_logs_in_and_out(client: Client) -> None:
    await client.post("/api/auth/register", json=CREDENTIALS)
    url = url_of(client)
    probe = Probe(CREDENTIALS["email"], CREDENTIALS["password"])
    assert await candidate.faults(Candidate(url, url), probe) == []
    login = await (await client.post("/api/auth/login", json=CREDENTIALS)).json()
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    sessions = await (await client.get("/api/auth/sessions", headers=bearer)).json()
    assert len(sessions["sessions"]) == 1, "that of the probe has ended"


async def test_a_probe_that_cannot_log_in_is_a_fault(client: Client) -> None:
    url = url_of(client)
    assert await candidate.faults(Candidate(url, url), Probe("ada@example.com", "wrong horse battery")) == [
        "The login of ada@example.com answers 401."
    ]


async def served(aiohttp_client: Any, keys: list[dict[str, str]], *, status: int = 200, led: bool = True) -> str:
    """What stands for a revision behind the load balancer: its page and its keys."""

    async def page(request: web.Request) -> web.Response:
        assert request.headers.get(CANDIDATE_HEADER) in (KEY, None)
        return web.Response(status=status, headers={CANDIDATE_HEADER: "candidate"} if led else {})

    async def jwks(_request: web.Request) -> web.Response:
        return web.json_response({"keys": keys})

    app = web.Application()
    app.router.add_get("/login", page)
    app.router.add_get("/.well-known/jwks.json", jwks)
    return url_of(await aiohttp_client(app))


@pytest.mark.parametrize(
    "keys, options, fault",
    [
        (["a", "b"], {}, None),
        (["b"], {}, "It does not know the key a: tokens that are out would be refused."),
        ([], {}, "/.well-known/jwks.json has no key."),
        (["a"], {"status": 503}, "GET /login answers 503."),
        (["a"], {"led": False}, "The load balancer led elsewhere"),
    ],
)
async def test_each_thing_that_is_wrong_is_a_sentence(
    aiohttp_client: Any, keys: list[str], options: dict[str, Any], fault: str | None
) -> None:
    newest = await served(aiohttp_client, [{"kid": each} for each in keys], **options)
    stable = await served(aiohttp_client, [{"kid": "a"}])
    found = await candidate.faults(Candidate(newest, stable, KEY))
    assert [each.startswith(fault or "") for each in found] == ([True] if fault else [])


async def test_what_does_not_answer_is_a_fault_and_no_traceback() -> None:
    (fault,) = await candidate.faults(Candidate("http://127.0.0.1:1", "http://127.0.0.1:1"))
    assert fault.startswith("http://127.0.0.1:1 does not answer: ")


def test_the_password_of_a_probe_is_not_shown() -> None:
    assert "horse" not in repr(Probe("ada@example.com", "horse"))


async def test_the_share_of_errors_is_asked_for_in_promql_of_a_metric_that_there_is(admin: Client) -> None:
    promql_parser.parse(candidate.query(NEW))
    assert NEW in candidate.query(NEW)
    assert "authsvc_http_requests_total{" in await (await admin.get("/metrics")).text()


@pytest.mark.parametrize(
    "counts, faults",
    [
        ({"2xx": 990.0, "5xx": 11.0}, 1),
        ({"2xx": 990.0, "5xx": 10.0}, 0),
        ({"2xx": 10.0, "5xx": 50.0}, 0),
        ({"4xx": 1000.0}, 0),
        ({}, 0),
    ],
)
def test_more_than_one_error_in_a_hundred_is_too_many_where_enough_was_asked(
    counts: dict[str, float], faults: int
) -> None:
    assert len(list(candidate.faults_of(counts))) == faults


async def test_the_counts_are_read_from_the_answer_of_prometheus(aiohttp_client: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token"
        assert request.query["query"] == candidate.query(NEW)
        result = [{"metric": {"status": status}, "value": [0, count]} for status, count in (("2xx", "7"), ("5xx", "2"))]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    app = web.Application()
    app.router.add_get("/v1/projects/p", answer)
    api = f"{url_of(await aiohttp_client(app))}/v1/projects/{{project}}"
    assert await candidate.ask_monitoring("p", NEW, "token", api) == {"2xx": 7.0, "5xx": 2.0}


PULUMI = """#!{python}
import json, pathlib, sys, yaml
folder = pathlib.Path({folder!r})
arguments = sys.argv[1:]
arguments = arguments[: arguments.index("--stack")]
with (folder / "calls").open("a") as calls:
    print(*arguments, file=calls)
config = yaml.safe_load((folder / "config.yaml").read_text())
match arguments:
    case ["config", "--json"]:
        kind = lambda each: "objectValue" if isinstance(each, dict) else "value"
        print(json.dumps({{key: {{kind(each): each}} for key, each in config.items()}}))
    case ["config", "set", "--path", key, value]:
        top, _, inner = key.partition(".")
        if inner:
            config.setdefault(top, {{}})[inner] = int(value) if value.isdigit() else value
        else:
            config[top] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    case ["stack", "output", "--json", "--show-secrets"]:
        print((folder / "outputs.json").read_text())
    case ["up", "--yes", "--skip-preview"]:
        sys.exit((folder / "fails").exists())
    case _:
        sys.exit(f"unknown: {{arguments}}")
"""


class Folder:
    """The stack file, the outputs, and a program that stands for Pulumi's own, which no test can have."""

    def __init__(self, path: Path, **outputs: str) -> None:
        self.path = path
        config = {**stacks.config("dev"), "authsvc:rollout": {}}
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        (path / "outputs.json").write_text(json.dumps(outputs))
        program = path / "pulumi"
        program.write_text(PULUMI.format(python=sys.executable, folder=str(path)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    @property
    def rollout(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.path / "config.yaml").read_text())["authsvc:rollout"])

    @property
    def image(self) -> str:
        return str(yaml.safe_load((self.path / "config.yaml").read_text())["authsvc:image"])

    @property
    def ups(self) -> int:
        return (self.path / "calls").read_text().splitlines().count("up --yes --skip-preview")


def call(path: str, *arguments: str) -> Result:
    return CliRunner(env={"PATH": path}).invoke(rollout.main, ["--stack", "dev", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A stack whose newest revision cannot be reached."""
    nowhere = "http://127.0.0.1:1"
    return Folder(tmp_path, latest_revision=NEW, candidate_url=nowhere, url=nowhere)


def test_without_pulumi_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    done = call(str(tmp_path), "back")
    assert done.exit_code == 1
    assert done.output.startswith("Error: pulumi is not on the PATH: install it")
    assert len(done.output.splitlines()) == 1


def test_back_is_one_command_and_does_not_ask_the_newest(folder: Folder) -> None:
    config = yaml.safe_load((folder.path / "config.yaml").read_text())
    config["authsvc:rollout"] = {"stable": OLD, "percent": 100}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(config))
    image = folder.image
    done = call(str(folder.path), "back")
    assert (done.exit_code, done.output) == (0, f"{OLD} has all of the traffic.\n")
    assert (folder.rollout, folder.image) == ({"stable": OLD, "percent": 0, "image": image}, image)
    assert folder.ups == 1


def test_an_image_that_was_pushed_meanwhile_is_not_what_goes_back(folder: Folder) -> None:
    config = yaml.safe_load((folder.path / "config.yaml").read_text())
    config |= {"authsvc:rollout": {"stable": OLD, "percent": 10, "image": IMAGE}, "authsvc:image": SERVING}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(config))
    assert call(str(folder.path), "back").exit_code == 0
    assert (folder.rollout, folder.image) == ({"stable": OLD, "percent": 0, "image": IMAGE}, IMAGE)


def test_after_a_rollout_a_plain_update_with_another_image_is_refused(folder: Folder) -> None:
    call(str(folder.path), "begin", IMAGE)
    config = yaml.safe_load((folder.path / "config.yaml").read_text())
    Settings.read("dev", config)
    with pytest.raises(SettingsError, match="decided for another version"):
        Settings.read("dev", {**config, "authsvc:image": SERVING})
    config.pop("authsvc:rollout")
    Settings.read("dev", {**config, "authsvc:image": SERVING})


def test_begin_moves_no_traffic_and_says_how_to_go_on_where_the_newest_is_ill(folder: Folder) -> None:
    done = call(str(folder.path), "begin", IMAGE)
    assert done.exit_code == 1
    assert f"{NEW} is not fit to serve:\n  http://127.0.0.1:1 does not answer" in done.output
    assert "To go back: python -m infra.rollout" in done.output
    assert (folder.rollout, folder.image) == ({"stable": NEW, "percent": 0, "image": IMAGE}, IMAGE)


def test_what_is_ill_gets_no_share(folder: Folder) -> None:
    config = yaml.safe_load((folder.path / "config.yaml").read_text())
    config["authsvc:rollout"] = {"stable": OLD, "percent": 0}
    (folder.path / "config.yaml").write_text(yaml.safe_dump(config))
    for arguments in (("share", "10"), ("finish",)):
        assert call(str(folder.path), *arguments).exit_code == 1
    assert folder.rollout["percent"] == 0
    assert "up" not in (folder.path / "calls").read_text().split()


def test_an_image_by_its_tag_is_refused_before_anything_is_written(folder: Folder) -> None:
    before = folder.rollout
    done = call(str(folder.path), "begin", "europe-west1-docker.pkg.dev/p/authsvc/authsvc:latest")
    assert done.exit_code == 1
    assert "must name an image by its digest" in done.output
    assert folder.rollout == before


def test_an_update_that_fails_is_told(folder: Folder) -> None:
    (folder.path / "fails").touch()
    done = call(str(folder.path), "begin", IMAGE)
    assert (done.exit_code, done.output) == (1, "Error: pulumi up failed.\n")


def test_a_probe_needs_both_its_address_and_its_password(folder: Folder) -> None:
    done = CliRunner(env={"PATH": str(folder.path)}).invoke(
        rollout.main, ["--stack", "dev", "--probe-email", "ada@example.com", "back"]
    )
    assert done.exit_code == 1
    assert "go together" in done.output
