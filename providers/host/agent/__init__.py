"""What runs on the host: stdlib-only Python (3.11 and later), sent over the connection, never installed.

A host's state is a map of *facets* (files, units, sysctls, links, ...); a facet is a map of items to values.
`{"files": {"/etc/radvd.conf": "..."}, "units": {"radvd.service": "enabled, running"}}` is both what a resource
wants and, in the same shape, what was observed; equal means converged, and an item that is absent is missing.
"""
