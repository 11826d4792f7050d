"""`python -m edgert`: the same as the `edgert` command."""

from __future__ import annotations

from edgert.cli import main

raise SystemExit(main())
