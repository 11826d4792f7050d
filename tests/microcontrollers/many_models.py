"""Many generated models in one program of this computer, with any number of inputs and outputs and with state."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgert_converters.exporters.c import CFolder
from edgert_converters.ops.spec import Array

__all__ = ["compile_models", "run_model"]

_MAIN = """
#include <stdio.h>
#include <stdlib.h>
{includes}
struct part {{ int offset, bytes; }};
struct model {{
    void (*run)(void *);
    void (*reset)(void *);
    int arena_bytes;
    struct part inputs[{most}], outputs[{most}];
}};
static const struct model models[] = {{
{rows}
}};
int main(int count, char **words)
{{
    const struct model *m = &models[count > 1 ? atoi(words[1]) : 0];
    unsigned char *arena = malloc((size_t)m->arena_bytes);
    memset(arena, 0xA5, (size_t)m->arena_bytes);
    if (m->reset) {{
        m->reset(arena);
    }}
    for (;;) {{
        for (int i = 0; m->inputs[i].bytes; i++) {{
            if (fread(arena + m->inputs[i].offset, (size_t)m->inputs[i].bytes, 1, stdin) != 1) {{
                free(arena);
                return i != 0;
            }}
        }}
        m->run(arena);
        for (int i = 0; m->outputs[i].bytes; i++) {{
            fwrite(arena + m->outputs[i].offset, (size_t)m->outputs[i].bytes, 1, stdout);
        }}
    }}
}}
"""


def compile_models(folders: Sequence[CFolder], where: Path, options: Sequence[str]) -> Path:
    """Returns one program with all models, which take their number as its argument; names must differ."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler (Debian package gcc)")
    for folder in folders:
        home = where / folder.network.name
        home.mkdir(parents=True, exist_ok=True)
        for name, data in folder.files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(data)
    command = [compiler, *options, "-c", "model.c", "-o", "model.o"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda folder: _build(command, where / folder.network.name), folders))
    (where / "main.c").write_text(_main_text(folders))
    objects = [f"{folder.network.name}/model.o" for folder in folders]
    _build([compiler, *[o for o in options if o != "-pedantic"], "main.c", *objects, "-o", "program"], where)
    return where / "program"


def run_model(program: Path, number: int, folder: CFolder, samples: Sequence[Mapping[str, Array]]) -> list[list[Array]]:
    """Returns the outputs of every sample in turn, flat, then its states; samples hold inputs by buffer name."""
    network = folder.network
    names = [network.buffers[index].name for index in network.inputs]
    data = b"".join(np.ascontiguousarray(sample[name]).tobytes() for sample in samples for name in names)
    done = subprocess.run([program, str(number)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[:4000]
    found, place = [], 0
    for _ in samples:
        row = []
        for index in _ends(folder):
            buffer = network.buffers[index]
            row.append(np.frombuffer(done.stdout, buffer.dtype.numpy, math.prod(buffer.shape), place))
            place += buffer.size_bytes
        found.append(row)
    assert place == len(done.stdout)
    return found


def _ends(folder: CFolder) -> tuple[int, ...]:
    return (*folder.network.outputs, *(state.target for state in folder.network.states))


def _build(command: Sequence[str], where: Path) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{where}: {done.stderr[:4000]}"


def _main_text(folders: Sequence[CFolder]) -> str:
    most = 1 + max(max(len(f.network.inputs), len(_ends(f))) for f in folders)
    rows = []
    for folder in folders:
        network, offsets = folder.network, folder.plan.offsets
        parts = [
            ", ".join([*(f"{{{offsets[i]}, {network.buffers[i].size_bytes}}}" for i in side), "{0, 0}"])
            for side in (network.inputs, _ends(folder))
        ]
        reset = f"edgert_{network.name}_reset" if network.states else "NULL"
        sizes = f"{{{parts[0]}}}, {{{parts[1]}}}"
        rows.append(f"    {{edgert_{network.name}_run, {reset}, {folder.plan.arena_bytes}, {sizes}}},")
    includes = "\n".join(f'#include "{f.network.name}/model.h"' for f in folders)
    return "#include <string.h>\n" + _MAIN.format(includes=includes, most=most, rows="\n".join(rows))
