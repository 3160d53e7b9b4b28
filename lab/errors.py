"""What the lab says when it can't go on."""

from __future__ import annotations


class LabError(Exception):
    """One clear sentence for the user: what failed, and what to do next."""
