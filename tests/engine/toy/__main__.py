"""A program whose resources are the list `toy:resources` of its stack's config; see toy_provider.py."""

import pulumi
from toy_provider import Box, File, Thing

resources: dict[str, pulumi.Resource] = {}
config = pulumi.Config()

if config.get("fail") == "run":
    raise pulumi.RunError("the program says no")
if config.get("fail") == "crash":
    raise KeyError("crash")
if config.get("feature") == "transform":
    pulumi.runtime.register_resource_transform(lambda args: None)
if config.get("feature") == "hook":
    pulumi.ResourceHook("hook", lambda args: None)


def value(spec: object) -> object:
    """{"of": NAME, "output": KEY} is another resource's output, {"secret": X} a secret."""
    if isinstance(spec, dict) and "of" in spec:
        return getattr(resources[spec["of"]], spec["output"])
    if isinstance(spec, dict) and "secret" in spec:
        return pulumi.Output.secret(spec["secret"])
    return spec


for given in config.get_object("resources") or []:
    given = dict(given)
    name, kind = given.pop("name"), given.pop("kind", "file")
    raw = given.pop("options", {})
    named = {k: resources[raw[k]] for k in ("parent", "deleted_with", "provider") if k in raw}
    if "depends_on" in raw:
        named["depends_on"] = [resources[n] for n in raw["depends_on"]]
    if "aliases" in raw:
        named["aliases"] = [pulumi.Alias(**a) for a in raw["aliases"]]
    plain = {k: v for k, v in raw.items() if k not in (*named, "depends_on", "aliases")}
    options = pulumi.ResourceOptions(**plain, **named)
    if kind == "box":
        resources[name] = Box(name, options)
    elif kind == "provider":
        resources[name] = pulumi.ProviderResource("plug", name, {k: value(v) for k, v in given.items()}, options)
    elif kind == "thing":
        props = {k: value(v) for k, v in given.items()}
        resources[name] = Thing(name, {"name": name, "address": None, **props}, options)
    elif kind == "stack":
        resources[name] = pulumi.StackReference(name)
    else:
        resources[name] = File(name, {k: value(v) for k, v in given.items()}, options)

if config.get("invoke"):
    pulumi.export("said", pulumi.runtime.invoke("plug:index:say", {"word": config.get("invoke")}).value["said"])
for key, spec in (config.get_object("exports") or {}).items():
    if isinstance(spec, dict) and "stack" in spec:
        pulumi.export(key, resources[spec["stack"]].require_output(spec["output"]))
    else:
        pulumi.export(key, value(spec))
pulumi.log.info("the program has said all", resources[next(iter(resources))] if resources else None)
