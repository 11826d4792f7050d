"""Will int8 pay here? Float against int8 in each engine, answered before any conversion (docs/inspect.md)."""
