"""A provider process and its gRPC client. Source: pulumi proto/pulumi/provider.proto."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from collections.abc import Mapping

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from engine import urn as urns
from engine.errors import EngineError, clean_message
from engine.spawn import end
from engine.state import State
from engine.steps import Diff
from engine.values import Props, Value, annotate_secrets, changed_keys, from_proto, has_unknown, to_proto

_OPTIONS = [("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]


class ProviderError(EngineError):
    """A provider's answer was an error. raw: the whole of it, for the log."""

    def __init__(self, raw: str) -> None:
        super().__init__(clean_message(raw))
        self.raw = raw


class InitError(ProviderError):
    """The resource exists, but did not come to life; id and outputs are to be kept."""

    def __init__(self, reasons: list[str], id_: str, outputs: Props, inputs: Props) -> None:
        super().__init__("\n".join(reasons) or "resource init failed")
        self.reasons = reasons
        self.id = id_
        self.outputs = outputs
        self.inputs = inputs


def _error(err: grpc.aio.AioRpcError) -> ProviderError:
    # Providers attach an ErrorResourceInitFailed to the status of a resource that is made but not alive.
    for key, value in err.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                failed = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(failed):
                    return InitError(
                        list(failed.reasons), failed.id, from_proto(failed.properties), from_proto(failed.inputs)
                    )
    if err.code() == grpc.StatusCode.UNAVAILABLE:
        return ProviderError(f"the provider process has ended: {err.details()}")
    return ProviderError(err.details() or str(err.code()))


class Provider:
    """One running provider. Calls go side by side; what the provider can't take in (secrets) is put back on answers."""

    def __init__(self, process: Process, port: int, package: str, readers: list[asyncio.Task[None]]) -> None:
        self.package = package
        self.configured = False
        self._process = process
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._readers = readers
        self._secrets = self._references = self._previews = False

    async def stop(self) -> None:
        await self._channel.close()
        await end(self._process)
        for reader in self._readers:
            await reader

    async def cancel(self) -> None:
        """Ask it to give up what it is doing (Ctrl-C)."""
        await self._stub.Cancel(empty_pb2.Empty(), timeout=5)

    async def _call(self, method: str, request: object) -> object:
        try:
            return await getattr(self._stub, method)(request)
        except grpc.aio.AioRpcError as err:
            raise _error(err) from err

    def _out(self, props: Mapping[str, Value], unknowns: bool = True) -> object:
        return to_proto(props, secrets=self._secrets, references=self._references, unknowns=unknowns)

    async def check_config(self, urn: str, olds: Props, news: Props) -> tuple[Props, list[tuple[str, str]]]:
        """The provider's own inputs, checked; a provider without CheckConfig takes them as they are."""
        request = provider_pb2.CheckRequest(
            urn=urn, olds=to_proto(olds, secrets=True), news=to_proto(news, secrets=True)
        )
        try:
            answer = await self._stub.CheckConfig(request)
        except grpc.aio.AioRpcError as err:
            if err.code() == grpc.StatusCode.UNIMPLEMENTED or self.package == "pulumi-python":
                return news, []
            raise _error(err) from err
        return from_proto(answer.inputs), [(f.property, f.reason) for f in answer.failures]

    async def diff_config(self, urn: str, id_: str, old: State, news: Props) -> Diff:
        """What a change of the provider's own inputs means; where it does not say, any change is an update."""
        keys = changed_keys(old.outputs, news)
        request = provider_pb2.DiffRequest(
            urn=urn,
            id=id_,
            old_inputs=to_proto(old.inputs, secrets=True),
            olds=to_proto(old.outputs, secrets=True),
            news=to_proto(news, secrets=True),
        )
        try:
            answer = await self._stub.DiffConfig(request)
        except grpc.aio.AioRpcError as err:
            if err.code() == grpc.StatusCode.UNIMPLEMENTED or self.package == "pulumi-python":
                return Diff(bool(keys), [], keys)
            raise _error(err) from err
        changes = bool(keys) if answer.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN else answer.changes == 2
        return Diff(changes, list(answer.replaces), list(answer.diffs) or keys, answer.deleteBeforeReplace)

    async def configure(self, urn: str, id_: str, inputs: Props) -> None:
        """Hand over the configuration. A provider whose inputs are unknown yet is left unconfigured."""
        if any(has_unknown(v) for v in inputs.values()):
            return
        variables = {}
        for key, value in from_proto(to_proto(inputs)).items():
            if key != "version":
                variables[f"{self.package}:config:{key}"] = value if isinstance(value, str) else json.dumps(value)
        request = provider_pb2.ConfigureRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            id=id_,
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
            variables=variables,
            args=to_proto(inputs, secrets=True, references=True),
        )
        answer = await self._call("Configure", request)
        assert isinstance(answer, provider_pb2.ConfigureResponse)
        self._secrets, self._references = answer.acceptSecrets, answer.acceptResources
        self._previews = answer.supportsPreview
        self.configured = True

    async def check(self, urn: str, olds: Props, news: Props, seed: bytes) -> tuple[Props, list[tuple[str, str]]]:
        """Inputs with the provider's additions, and (property, reason) for each that is wrong."""
        if not self.configured:
            return news, []
        request = provider_pb2.CheckRequest(
            urn=urn,
            name=urns.name_of(urn),
            type=urns.type_of(urn),
            olds=self._out(olds),
            news=self._out(news),
            randomSeed=seed,
        )
        answer = await self._call("Check", request)
        assert isinstance(answer, provider_pb2.CheckResponse)
        inputs = from_proto(answer.inputs)
        if not self._secrets:
            annotate_secrets(inputs, news)
        return inputs, [(f.property, f.reason) for f in answer.failures]

    async def diff(self, old: State, news: Props, ignore_changes: list[str]) -> Diff:
        """Whether `old` differs from the inputs `news`, and whether it takes a new resource."""
        if not self.configured:
            return Diff(True)
        request = provider_pb2.DiffRequest(
            id=old.id,
            urn=old.urn,
            name=old.name,
            type=old.type,
            old_inputs=self._out(old.inputs),
            olds=self._out(old.outputs),
            news=self._out(news),
            ignoreChanges=ignore_changes,
        )
        answer = await self._call("Diff", request)
        assert isinstance(answer, provider_pb2.DiffResponse)
        keys = list(answer.diffs)
        if answer.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN:
            keys = changed_keys(old.inputs, news)
            changes = bool(keys)
        else:
            changes = answer.changes == provider_pb2.DiffResponse.DIFF_SOME
        return Diff(changes, list(answer.replaces), keys, answer.deleteBeforeReplace)

    async def create(self, new: State, preview: bool) -> tuple[str, Props]:
        """Make it: its id and outputs. In a preview nothing is made; outputs are the inputs."""
        if preview and not (self.configured and self._previews):
            return "", dict(new.inputs) if self.configured else {}
        request = provider_pb2.CreateRequest(
            urn=new.urn,
            name=new.name,
            type=new.type,
            properties=self._out(new.inputs, preview),
            timeout=new.custom_timeouts.get("create", 0),
            preview=preview,
        )
        try:
            answer = await self._call("Create", request)
        except InitError as err:
            self._annotate(err.outputs, new.inputs)
            raise
        assert isinstance(answer, provider_pb2.CreateResponse)
        if not answer.id and not preview:
            raise ProviderError("the provider returned no id from create")
        return answer.id, self._annotate(from_proto(answer.properties), new.inputs)

    async def update(self, old: State, new: State, preview: bool) -> Props:
        """Change it in place: its new outputs."""
        if preview and not (self.configured and self._previews):
            return dict(new.inputs) if self.configured else {}
        request = provider_pb2.UpdateRequest(
            id=old.id,
            urn=new.urn,
            name=new.name,
            type=new.type,
            old_inputs=self._out(old.inputs, False),
            olds=self._out(old.outputs, False),
            news=self._out(new.inputs, preview),
            timeout=new.custom_timeouts.get("update", 0),
            ignoreChanges=new.ignore_changes,
            preview=preview,
        )
        try:
            answer = await self._call("Update", request)
        except InitError as err:
            self._annotate(err.outputs, new.inputs)
            raise
        assert isinstance(answer, provider_pb2.UpdateResponse)
        return self._annotate(from_proto(answer.properties), new.inputs)

    async def read(self, state: State) -> tuple[str, Props, Props | None]:
        """What is there: id ("" when it is gone), outputs, and inputs where the provider gives them."""
        request = provider_pb2.ReadRequest(
            id=state.id,
            urn=state.urn,
            name=state.name,
            type=state.type,
            properties=self._out(state.outputs, False),
            inputs=self._out(state.inputs, False),
            timeout=state.custom_timeouts.get("read", 0),
        )
        answer = await self._call("Read", request)
        assert isinstance(answer, provider_pb2.ReadResponse)
        outputs = self._annotate(from_proto(answer.properties), state.outputs)
        inputs = self._annotate(from_proto(answer.inputs), state.inputs) if answer.HasField("inputs") else None
        return answer.id, outputs, inputs

    async def delete(self, old: State) -> None:
        request = provider_pb2.DeleteRequest(
            id=old.id,
            urn=old.urn,
            name=old.name,
            type=old.type,
            properties=self._out(old.outputs, False),
            old_inputs=self._out(old.inputs, False),
            timeout=old.custom_timeouts.get("delete", 0),
        )
        await self._call("Delete", request)

    async def invoke(self, token: str, args: Props, preview: bool) -> tuple[Props, list[tuple[str, str]]]:
        answer = await self._call(
            "Invoke", provider_pb2.InvokeRequest(tok=token, args=self._out(args), preview=preview)
        )
        assert isinstance(answer, provider_pb2.InvokeResponse)
        return from_proto(getattr(answer, "return")), [(f.property, f.reason) for f in answer.failures]

    def _annotate(self, outs: Props, ins: Props) -> Props:
        if not self._secrets:
            annotate_secrets(outs, ins)
        return outs
