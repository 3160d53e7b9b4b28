"""The embedded engine: what ``pulumi`` does, where ``pulumi`` can't be had.

It runs the same program and the same provider processes over the SDK's own gRPC services, plans as Pulumi does, and
keeps Pulumi's checkpoint at the file backend's own path, so that either engine can carry on where the other stopped.
What it does not support it refuses by name (`engine.errors.Unsupported`).

The way through it: `operation` opens the stack and starts the program; the program's registrations arrive at `monitor`;
`planner` turns each into steps; `executor` runs them and tells `snapshot`, which `journal` makes durable; `display` shows.
"""
