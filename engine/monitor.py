"""The two services a program talks to: ResourceMonitor and Engine. Source: pulumi proto/pulumi/{resource,engine}.proto."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    resource_pb2,
    resource_pb2_grpc,
)

from engine import urn as urns
from engine.deployment import Deployment
from engine.errors import Bail, EngineError, Unsupported
from engine.goal import Goal, ReadGoal
from engine.requests import goal_of, read_goal_of, refuse_options
from engine.state import State
from engine.values import from_proto, to_proto

_FEATURES = [
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    # Claimed so that the SDK sends them and this engine, not the SDK, says what is not supported.
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
]
_STOPPED = "Resource monitor has terminated, shutting down"
"""What the SDK says in a program that is stopped because a step has failed, which is told by itself."""
_SEVERITIES = {0: "debug", 1: "info", 2: "warning", 3: "error"}
_SHUT_DOWN = "resource monitor shut down"


class Services(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """Both services of one deployment."""

    def __init__(
        self,
        deployment: Deployment,
        info: resource_pb2.DeploymentInfo,
        root: Path,
        say: Callable[[str, str, str], None],
    ) -> None:
        info.supportedFeatures.extend(_FEATURES)
        self._deployment = deployment
        self._info = info
        self._root = root
        self._say = say
        self._root_urn = ""
        self._providers: dict[str, dict[str, str]] = {}

    async def _answer(self, context: grpc.aio.ServicerContext, work: Awaitable[object]) -> object:
        """The work's result; what can't be done is reported once, and the program is told to end."""
        stopped = asyncio.create_task(self._deployment.executor.stopping.wait())
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({stopped, task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.add_done_callback(lambda t: t.cancelled() or t.exception())
            raise Bail
        except Unsupported as err:
            self._deployment.fail("", err)
            self._deployment.executor.stop()
        except EngineError as err:
            self._deployment.fail("", err)
        except Bail:
            pass
        finally:
            stopped.cancel()
        await context.abort(grpc.StatusCode.UNAVAILABLE, _SHUT_DOWN)
        raise AssertionError

    # Engine

    async def Log(self, request: engine_pb2.LogRequest, context: object) -> empty_pb2.Empty:
        severity = "progress" if request.ephemeral else _SEVERITIES.get(request.severity, "info")
        if request.message == _STOPPED:
            severity = "debug"
        self._say(severity, request.urn, request.message)
        return empty_pb2.Empty()

    async def GetRootResource(self, request: object, context: object) -> engine_pb2.GetRootResourceResponse:
        return engine_pb2.GetRootResourceResponse(urn=self._root_urn)

    async def SetRootResource(
        self, request: engine_pb2.SetRootResourceRequest, context: object
    ) -> engine_pb2.SetRootResourceResponse:
        self._root_urn = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def RequirePulumiVersion(self, request: object, context: object) -> object:
        return engine_pb2.RequirePulumiVersionResponse()

    # ResourceMonitor: what is answered from what is known

    async def GetDeploymentInfo(self, request: object, context: object) -> resource_pb2.DeploymentInfo:
        return self._info

    async def SupportsFeature(
        self, request: resource_pb2.SupportsFeatureRequest, context: object
    ) -> resource_pb2.SupportsFeatureResponse:
        known = ("secrets", "resourceReferences", "outputValues", "aliasSpecs", "deletedWith", "transforms")
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in known)

    async def SignalAndWaitForShutdown(self, request: object, context: object) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    # ResourceMonitor: what is refused by name

    async def _refuse(self, context: grpc.aio.ServicerContext, feature: str) -> object:
        async def refuse() -> object:
            raise Unsupported(feature)

        return await self._answer(context, refuse())

    async def RegisterStackTransform(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "stack transforms")

    async def RegisterStackInvokeTransform(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "invoke transforms")

    async def RegisterResourceHook(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "resource hooks")

    async def RegisterErrorHook(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "error hooks")

    async def RegisterPackage(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "parameterized packages")

    async def Call(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "resource methods (Call)")

    async def ExistsResource(self, request: object, context: grpc.aio.ServicerContext) -> object:
        return await self._refuse(context, "exists()")

    # ResourceMonitor: the work

    async def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: grpc.aio.ServicerContext
    ) -> object:
        return await self._answer(context, self._register(request))

    async def _register(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:
        refuse_options(request)
        goal = goal_of(request, self._root)
        self._inherit(goal, request)
        if goal.custom and not urns.is_provider_type(goal.type):
            goal.provider = await self._provider(goal, request)
        try:
            done = await self._deployment.register(goal)
        except Bail:
            if not self._deployment.settings.preview:
                raise
            # A preview goes on, so that all that is wrong is seen at once; what depends on this one sees unknowns.
            urn = urns.make(self._info.stack, self._info.project, goal.parent, goal.type, goal.name)
            return resource_pb2.RegisterResourceResponse(urn=urn, result=resource_pb2.FAIL)
        state = done.state
        if not goal.custom:
            self._providers[state.urn] = {**self._providers.get(goal.parent, {}), **request.providers}
        outputs = state.outputs if goal.custom else {}
        return resource_pb2.RegisterResourceResponse(
            urn=state.urn,
            id=state.id,
            object=to_proto(
                outputs,
                secrets=request.acceptSecrets,
                references=request.acceptResources,
                unknowns=request.supportsPartialValues,
            ),
            unknown=done.unknown,
        )

    def _inherit(self, goal: Goal, request: resource_pb2.RegisterResourceRequest) -> None:
        """Options that a child takes over from its parent where it has none of its own."""
        parent = self._deployment.goals.get(goal.parent)
        if parent is None:
            return
        if goal.protect is None:
            goal.protect = parent.protect
        if goal.retain_on_delete is None:
            goal.retain_on_delete = parent.retain_on_delete
        if not goal.deleted_with:
            goal.deleted_with = parent.deleted_with

    async def _provider(self, goal: Goal | ReadGoal, request: object) -> str:
        package = urns.package_of(goal.type)
        given = getattr(request, "provider", "") or dict(getattr(request, "providers", {})).get(package, "")
        given = given or self._providers.get(goal.parent, {}).get(package, "")
        if given:
            return str(given)

        async def register(provider: Goal) -> State:
            return (await self._deployment.register(provider)).state

        options = {
            "version": getattr(request, "version", ""),
            "pluginDownloadURL": getattr(request, "pluginDownloadURL", ""),
        }
        return await self._deployment.registry.default(package, options, register)

    async def ReadResource(
        self, request: resource_pb2.ReadResourceRequest, context: grpc.aio.ServicerContext
    ) -> object:
        return await self._answer(context, self._read(request))

    async def _read(self, request: resource_pb2.ReadResourceRequest) -> resource_pb2.ReadResourceResponse:
        goal = read_goal_of(request, self._root)
        goal.provider = await self._provider(goal, request)
        state = await self._deployment.read(goal)
        properties = to_proto(state.outputs, secrets=request.acceptSecrets, references=request.acceptResources)
        return resource_pb2.ReadResourceResponse(urn=state.urn, id=state.id, properties=properties)

    async def RegisterResourceOutputs(
        self, request: resource_pb2.RegisterResourceOutputsRequest, context: grpc.aio.ServicerContext
    ) -> object:
        async def work() -> empty_pb2.Empty:
            await self._deployment.register_outputs(request.urn, from_proto(request.outputs))
            return empty_pb2.Empty()

        return await self._answer(context, work())

    async def Invoke(self, request: resource_pb2.ResourceInvokeRequest, context: grpc.aio.ServicerContext) -> object:
        return await self._answer(context, self._invoke(request))

    async def _invoke(self, request: resource_pb2.ResourceInvokeRequest) -> object:
        package = urns.package_of(request.tok)
        if package == "pulumi":
            raise Unsupported(f"the function {request.tok}")
        goal = ReadGoal(request.tok, "", "", {}, parent=request.parent)
        reference = await self._provider(goal, request)
        registry, preview = self._deployment.registry, self._deployment.settings.preview
        result, failures = await registry.invoke(reference, request.tok, from_proto(request.args), preview)
        answer = provider_pb2.InvokeResponse(
            failures=[provider_pb2.CheckFailure(property=p, reason=r) for p, r in failures]
        )
        getattr(answer, "return").CopyFrom(to_proto(result, secrets=True, references=request.acceptResources))
        return answer
