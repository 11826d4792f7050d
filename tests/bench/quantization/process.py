"""What every quantizing process says about itself, on the last line of its output. Runs in the peers' environments too.

The standard library only: a peer's environment holds nothing of edgert.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path


def report(version: str, quantize: Callable[[], object]) -> None:
    """Runs `quantize` and prints its seconds, the peak resident memory of the whole process, and the words it returns.

    VmHWM and not ru_maxrss: the latter starts at the parent's peak, which a child inherits over fork and exec.
    """
    start = time.perf_counter()
    said = quantize()
    seconds = time.perf_counter() - start
    peak_kb = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    peak_mb = int(peak_kb.group(1)) / 1000 if peak_kb else None
    print(
        json.dumps(
            {
                "seconds": round(seconds, 3),
                "peak_mb": peak_mb,
                "version": version,
                "note": said if isinstance(said, str) else "",
            }
        )
    )
