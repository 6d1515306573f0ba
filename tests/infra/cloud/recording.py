"""Runs a Pulumi program without an engine and a cloud, and returns all that it registered, as it went over the wire.

The engine's part is Pulumi's own mock monitor; here it keeps what that one forgets: which inputs are secret, however
deep, and what the engine is told beside the inputs. It is no preview: no provider has seen any of it.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime import mocks, rpc, set_all_config
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from tests.infra.cloud import cloud

SECRET = {rpc._special_sig_key: rpc._special_secret_sig}
"""What the wire marks a secret with, beside its `value`."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Registered:
    """A resource as the engine would have got it; the keys of `inputs` are those of the wire: camel case."""

    type: str
    name: str
    urn: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(repr=False)
    secret_paths: frozenset[Path]
    """Each input that is a secret: `("template", "containers", 0, "envs", 1, "value")`."""
    parent: str
    dependencies: frozenset[str]
    """URNs."""
    custom: bool = True
    protect: bool = False
    retain_on_delete: bool = False
    ignore_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()

    def is_secret(self, *path: str | int) -> bool:
        """Tell whether this input, or something that it lies in, is a secret."""
        return any(path[:length] in self.secret_paths for length in range(1, len(path) + 1))

    @property
    def plain(self) -> list[tuple[Path, Any]]:
        """Each value that is no secret, with its path."""
        return [(path, value) for path, value in leaves(self.inputs) if not self.is_secret(*path)]


@dataclass(frozen=True)
class Invoked:
    """A function of the provider that was called."""

    token: str
    arguments: dict[str, Any]


class Recording(list[Registered]):
    """The resources in the order of their registration, the calls, and the stack's outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.invokes: list[Invoked] = []
        self.outputs: dict[str, Any] = {}
        self.secret_outputs: set[str] = set()

    def of(self, kind: str) -> list[Registered]:
        """Return the resources of a type, `gcp:sql/user:User` or only its end, `User` or `sql/user:User`."""
        return [each for each in self if each.type == kind or each.type.endswith((f":{kind}", f"/{kind}"))]

    def one(self, kind: str, name: str | None = None) -> Registered:
        """Return the one resource of that type, and of that name where several are."""
        found = [each for each in self.of(kind) if name in (None, each.name)]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}: {[each.name for each in found]}"
        return found[0]


def record(
    program: Callable[[], Mapping[str, Any] | None],
    *,
    stack: str = "test",
    config: Mapping[str, str] | None = None,
    project: str = cloud.PROJECT,
    region: str = cloud.REGION,
) -> Recording:
    """Run a program, and return what it registered and, of the mapping that it returns, the values.

    Pulumi keeps its state in context variables and in the event loop of the thread, so each run has a new one of both.

    Raises:
        Whatever the program raises, also in an `apply`.
    """
    recording = Recording()

    async def main() -> None:
        # All of it lives in context variables: this task's, and of nobody else.
        settings = pulumi.runtime.Settings(
            project="authsvc",
            stack=stack,
            monitor=_Monitor(recording, cloud.Cloud(project, region)),
            engine=mocks.MockEngine(None),
            dry_run=False,
        )
        pulumi.runtime.configure(settings)
        set_all_config({"gcp:project": project, "gcp:region": region, **(config or {})})
        await run_in_stack(finished)

    async def finished() -> None:
        for name, value in (program() or {}).items():
            output: pulumi.Output[Any] = pulumi.Output.from_input(value)
            recording.outputs[name] = await output.future()
            if await output.is_secret():
                recording.secret_outputs.add(name)

    def run() -> None:
        # Pulumi turns the loop by hand in synchronous calls, which takes asyncio's own.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main(), context=contextvars.Context())

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()
    return recording


def leaves(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    """Return each scalar inside, with its path."""
    match value:
        case Mapping():
            return [leaf for key, each in value.items() for leaf in leaves(each, (*path, key))]
        case list():
            return [leaf for number, each in enumerate(value) for leaf in leaves(each, (*path, number))]
        case _:
            return [(path, value)]


def read(value: Any, path: Path, secrets: set[Path]) -> Any:
    """Return a value of the wire without its marks; the paths of secrets go into `secrets`."""
    match value:
        case {"value": inside} if SECRET.items() <= value.items():
            secrets.add(path)
            return read(inside, path, secrets)
        case dict():
            return {key: read(each, (*path, key), secrets) for key, each in value.items() if each is not None}
        case list():
            return [read(each, (*path, number), secrets) for number, each in enumerate(value)]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class _Monitor(mocks.MockMonitor):
    def __init__(self, recording: Recording, answers: cloud.Cloud) -> None:
        # It answers everything itself.
        super().__init__(mocks=cast("mocks.Mocks", None))
        self._recording = recording
        self._cloud = answers
        self._lock = threading.Lock()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - of the protocol
        arguments = read(MessageToDict(request.args), (), set())
        with self._lock:
            self._recording.invokes.append(Invoked(request.tok, arguments))
        answer = Struct()
        answer.update(self._cloud.answer(request.tok, arguments))
        return resource_pb2.ResourceInvokeResponse(**{"return": answer, "failures": None})

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        wire = MessageToDict(request.object)
        secrets: set[Path] = set()
        inputs = read(wire, (), secrets)
        made = self._cloud.make(request.type, request.name, inputs) if request.custom else cloud.Made("", {})
        hidden = {str(path[0]) for path in secrets} | set(request.additionalSecretOutputs)
        state = Struct()
        state.update({key: {**SECRET, "value": each} if key in hidden else each for key, each in made.state.items()})
        with self._lock:
            self._recording.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    urn=urn,
                    inputs=inputs,
                    outputs=made.state,
                    secret_paths=frozenset(secrets),
                    parent=request.parent,
                    dependencies=frozenset(request.dependencies),
                    custom=request.custom,
                    protect=request.protect,
                    retain_on_delete=request.retainOnDelete,
                    ignore_changes=tuple(request.ignoreChanges),
                    additional_secret_outputs=tuple(request.additionalSecretOutputs),
                )
            )
            self.resources[urn] = mocks.MockMonitor.ResourceRegistration(urn, made.id, made.state)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=made.id, object=state)
