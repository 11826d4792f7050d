"""Where every buffer and every layer's scratch lies in the arena.

Network --lifetimes--> Body per buffer --displacements--> what may not overlap --placement--> offsets
"""

from __future__ import annotations

from edgert_converters.exporters.c.planner.lifetimes import alive_bytes
from edgert_converters.exporters.c.planner.placement import ALIGNMENT_BYTES
from edgert_converters.exporters.c.planner.plan import PLACEMENTS, Item, MemoryPlan, plan_memory

__all__ = ["ALIGNMENT_BYTES", "PLACEMENTS", "Item", "MemoryPlan", "alive_bytes", "plan_memory"]
