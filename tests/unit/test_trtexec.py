"""trtexec: its output as it stands in public logs, and the program's way through a stand-in script."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgert
from edgert.codec import from_plain
from edgert.devices import WorkerClient, connect
from edgert.errors import EngineError, UsageError
from edgert.plugins import EngineOptions
from edgert.profiler.candidates import list_entries
from edgert.profiler.record import Record
from edgert.runtime.engines import TIMES_ONLY, trtexec
from edgert.runtime.engines.trtexec import TrtexecEngine, command_line
from edgert.runtime.engines.trtexec_output import parse_layers, parse_summary, parse_times_ms, parse_version
from tests import bundle_example as example

VARIANT = example.variant("onnx-fp32")
SUMMARY = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] [b30] # /usr/src/tensorrt/bin/trtexec --onnx=model.onnx
[10/03/2024-10:47:59] [I] === Performance summary ===
[10/03/2024-10:47:59] [I] Throughput: 130.298 qps
[10/03/2024-10:47:59] [I] Latency: min = 5.38672 ms, max = 13.3664 ms, mean = 7.60628 ms, median = 7.16092 ms, \
percentile(90%) = 10.2996 ms, percentile(95%) = 10.8698 ms, percentile(99%) = 12.9675 ms
[10/03/2024-10:47:59] [I] Enqueue Time: min = 2.72876 ms, max = 15.0201 ms, mean = 7.63062 ms, median = 7.86694 ms, \
percentile(90%) = 10.1792 ms, percentile(95%) = 11.7217 ms, percentile(99%) = 14.1848 ms
[10/03/2024-10:47:59] [I] H2D Latency: min = 0.0065918 ms, max = 0.0698242 ms, mean = 0.0122212 ms, median = \
0.00814819 ms, percentile(90%) = 0.0253906 ms, percentile(95%) = 0.0270996 ms, percentile(99%) = 0.0515137 ms
[10/03/2024-10:47:59] [I] GPU Compute Time: min = 5.34595 ms, max = 13.3388 ms, mean = 7.58404 ms, median = 7.14139 \
ms, percentile(90%) = 10.2881 ms, percentile(95%) = 10.8175 ms, percentile(99%) = 12.9485 ms
[10/03/2024-10:47:59] [I] Total Host Walltime: 3.00082 s
[10/03/2024-10:47:59] [W] * Throughput may be bound by Enqueue Time rather than GPU Compute
&&&& PASSED TensorRT.trtexec [TensorRT v100300]
"""
OLD_SUMMARY = """\
[05/10/2021-12:24:30] [I] Host Latency
[05/10/2021-12:24:30] [I] min: 1.64058 ms (end to end 1.66368 ms)
[05/10/2021-12:24:30] [I] throughput: 0 qps
"""
FAILED = """\
[09/04/2024-13:51:47] [E] Error[4]: [runtime.cpp::deserializeCudaEngine::65] Error Code 4: Internal Error
[09/04/2024-13:51:47] [E] Engine deserialization failed
[09/04/2024-13:51:47] [E] Inference set up failed
&&&& FAILED TensorRT.trtexec [TensorRT v8510] # trtexec --verbose --loadEngine=dla_fusion.dla
"""
PROFILE = """\
[
  { "count" : 625 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to Conv_0 + PWN(Clip_3)", "timeMs" : 36.6844, \
"averageMs" : 0.058695, "percentage" : 1.20497 }
, { "name" : "{ForeignNode[Conv_4...Concat_198]}", "timeMs" : 41.4232, "averageMs" : 0.0662771, "medianMs" : 0.0662, \
"percentage" : 1.36062 }
, { "name" : "head_3 from nvm", "timeMs" : 68.3092, "averageMs" : 0.109295, "percentage" : 2.1 }
]
"""
TIMES = """\
[
  { "startEnqMs" : 0.1, "endEnqMs" : 0.2, "computeMs" : 1.5, "d2hMs" : 0.1, "latencyMs" : 1.75, "endToEndMs" : 1.8 }
, { "startEnqMs" : 2.1, "endEnqMs" : 2.2, "computeMs" : 1.25, "d2hMs" : 0.1, "latencyMs" : 1.5, "endToEndMs" : 1.6 }
]
"""


def test_versions_of_both_ways_to_count() -> None:
    assert parse_version(SUMMARY) == "10.3.0"
    assert parse_version(SUMMARY.replace("v100300", "v101601")) == "10.16.1"
    assert parse_version(SUMMARY.replace("v100300", "v8601")) == "8.6.1"
    assert parse_version("trtexec: command not found") is None


def test_the_summary() -> None:
    summary = parse_summary(SUMMARY)
    assert (summary.version, summary.throughput_per_s) == ("10.3.0", 130.298)
    assert summary.latency_ms["median"] == 7.16092
    assert summary.latency_ms["percentile(99%)"] == 12.9675
    assert summary.gpu_ms["min"] == 5.34595
    assert summary.enqueue_ms["max"] == 15.0201
    assert summary.h2d_ms["median"] == 0.00814819


def test_failures_keep_the_words_of_the_program() -> None:
    with pytest.raises(EngineError, match=r"trtexec failed: Error\[4\].*; Engine deserialization failed$"):
        parse_summary(FAILED)
    with pytest.raises(EngineError, match="trtexec failed: it printed no performance summary"):
        parse_summary(OLD_SUMMARY)
    with pytest.raises(EngineError, match=r"summary without latency: edgert reads those of TensorRT 8\.5 and later"):
        parse_summary("[I] Throughput: 3 qps\n")


def test_times_of_runs_and_of_layers() -> None:
    np.testing.assert_array_equal(parse_times_ms(TIMES), [1.75, 1.5])
    layers = parse_layers(PROFILE)
    assert [(row.mean_ms, row.provider) for row in layers] == [
        (0.058695, "GPU"),
        (0.0662771, "GPU"),
        (0.109295, "GPU"),
    ]
    assert [row.provider for row in parse_layers(PROFILE, "DLA 0")] == ["GPU", "DLA 0", "DLA 0"]
    assert parse_layers("[]") == ()
    with pytest.raises(EngineError, match="a file of times that is no JSON"):
        parse_times_ms(TIMES[:-4])
    with pytest.raises(EngineError, match="no list of objects"):
        parse_layers('{"count": 1}')
    with pytest.raises(EngineError, match="wrote no times of runs"):
        parse_times_ms('[{"computeMs": 1}]')


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in trtexec's place that notes how it was called and writes what the program writes."""
    script = tmp_path / "bin" / "trtexec"
    script.parent.mkdir()
    (tmp_path / "summary").write_text(SUMMARY)
    (tmp_path / "profile").write_text(PROFILE)
    (tmp_path / "times").write_text(TIMES)
    script.write_text(
        f"#!/bin/sh\nhere={tmp_path}\nprintf '%s\\n' \"$@\" > $here/words\n"
        'for word in "$@"; do case $word in\n'
        '--exportTimes=*) cp $here/times "${word#*=}";; --exportProfile=*) cp $here/profile "${word#*=}";;\n'
        "esac; done\ncat $here/summary\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


def load(**options: str) -> Any:
    return TrtexecEngine().load(b"a model", VARIANT, EngineOptions(None, options))


def test_a_measurement(program: Path, tmp_path: Path) -> None:
    executor = load(float_precision="fp16")
    np.testing.assert_array_equal(executor.measure_ms(3.0, 0.5), [1.75, 1.5])
    words = (tmp_path / "words").read_text().split()
    assert {"--fp16", "--noTF32", "--duration=3", "--warmUp=500", "--separateProfileRun"} <= set(words)
    assert "--int8" not in words
    assert len(executor.layer_times()) == 3
    facts = executor.facts()
    assert (facts["version"], facts["throughput_per_s"], facts["gpu_ms"]["min"]) == ("10.3.0", 130.298, 5.34595)
    folder = Path(words[0].partition("=")[2]).parent
    assert folder.is_dir()
    executor.close()
    assert not folder.exists()


def test_it_gives_no_outputs_and_says_so(program: Path) -> None:
    executor = load()
    with pytest.raises(
        EngineError, match="trtexec gives times only: .* cannot run, verify or be raced; take --engine t"
    ):
        executor.run([])
    executor.close()
    assert "trtexec" in TIMES_ONLY
    assert not any(entry.choice.engine == "trtexec" for entry in list_entries((VARIANT,), "onnx-fp32", 1, 1))


def test_a_profile_of_it(program: Path, tmp_path: Path) -> None:
    """Through the real worker, which starts the script: latency and layers are the program's, energy is none."""
    (tmp_path / "times").write_text(TIMES.replace("]", f", {TIMES.splitlines()[1]}" * 40 + "]"))
    bundle = example.write(tmp_path)
    request = {"path": str(bundle), "created": "now", "engine": "trtexec", "energy": "none", "variant": "onnx-fp32"}
    with WorkerClient(connect(), "edgert.profiler.worker") as worker:
        record = from_plain(Record, worker.call("profile", request).body["record"])
    assert (record.engine.name, record.engine.version) == ("trtexec", "10.3.0")
    assert (record.latency.p50_ms, record.latency.min_ms, record.method.samples) == (1.75, 1.5, 42)
    assert record.method.clock == "trtexec"
    assert [row.name for row in record.layers][-1] == "head_3 from nvm"
    assert record.engine.layers_by_place == {}
    assert record.energy is None
    assert str(record.energy_reason).startswith("trtexec runs the model in a process of its own")
    assert "gives no outputs" in record.stages.note
    assert record.memory.peak_rss_bytes is None
    with edgert.load(bundle) as session, pytest.raises(UsageError, match="onnxruntime does not time itself"):
        session.measure_ms(1, 0)


def test_a_program_that_fails_or_is_missing(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = load()
    (tmp_path / "summary").write_text(FAILED)
    with pytest.raises(EngineError, match="trtexec failed: Error"):
        executor.measure_ms(1, 0)
    executor.close()
    program.chmod(0o755)
    program.write_text("#!/nothing/here\n")
    assert TrtexecEngine().version() is None
    program.unlink()
    monkeypatch.setattr(trtexec, "_PLACES", ())
    assert "sudo apt install tensorrt" in str(TrtexecEngine().refusal(VARIANT))
    with pytest.raises(EngineError, match="neither in PATH nor in /usr/src/tensorrt/bin"):
        load()


def test_it_is_found_where_jetpack_puts_it(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(trtexec, "_PLACES", (str(program.parent),))
    assert trtexec.find_trtexec() == program


def test_the_command_follows_settings_and_release() -> None:
    settings = {
        "float_precision": "fp16",
        "int8": "1",
        "tf32": "1",
        "dla_core": "0",
        "workspace_mb": "64",
        "optimization_level": "3",
    }
    words = command_line(Path("trtexec"), Path("m.onnx"), settings, "10.3.0")
    assert words == [
        "trtexec",
        "--onnx=m.onnx",
        "--memPoolSize=workspace:64",
        "--builderOptimizationLevel=3",
        "--fp16",
        "--int8",
        "--useDLACore=0",
        "--allowGPUFallback",
    ]
    strongly_typed = command_line(Path("trtexec"), Path("m.onnx"), settings, "11.0.0")
    assert not {"--fp16", "--int8"} & set(strongly_typed)


def test_refusals(program: Path) -> None:
    engine = TrtexecEngine()
    assert engine.refusal(VARIANT) is None
    assert engine.refusal(dataclasses.replace(VARIANT, format="tflite")) == "reads onnx, not tflite"
    assert "takes symmetric integers only" in str(engine.refusal(dataclasses.replace(VARIANT, requantize="fp32")))
