"""The device side: load a bundle and run it. Needs numpy and one engine, nothing else (docs/run.md)."""

from __future__ import annotations

from edgert.runtime.session import Session, load

__all__ = ["Session", "load"]
