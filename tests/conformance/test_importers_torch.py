"""PyTorch modules, exported programs and .pt2 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgert.errors import ModelError, UsageError
from edgert_converters.importers import import_model, import_torch
from edgert_converters.passes.output_check import relative_error, run_model

torch = pytest.importorskip("torch")
# torch's exporter warns about its own internals
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def _module() -> Any:  # Any: torch may be absent when this file is read
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.Hardswish(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )


def _matches(model: ir.Model, module: Any) -> bool:
    x = torch.randn(1, 3, 16, 16)
    module.eval()
    expected = module(x).detach().numpy()
    found = run_model(ir.to_proto(model).SerializeToString(), {model.graph.inputs[0].name or "": x.numpy()})
    return relative_error([expected], found) < 1e-5


def test_module_becomes_the_operators_that_kernels_know() -> None:
    module = _module()
    module.train()
    imported = import_torch(module, (torch.zeros(1, 3, 16, 16),))
    assert module.training, "the caller's module is handed back as it was"
    assert _matches(imported.model, module)
    assert [n.op_type for n in imported.model.graph] == ["Conv", "HardSwish", "GlobalAveragePool", "Reshape", "Gemm"]
    assert (imported.source.name, imported.source.format) == ("Sequential", "torch")


def test_exported_program() -> None:
    module = _module().eval()
    program = torch.export.export(module, (torch.zeros(1, 3, 16, 16),))
    assert _matches(import_torch(program).model, module)


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="needs example_inputs"):
        import_torch(_module())
    with pytest.raises(UsageError, match=r"expected torch\.nn\.Module or .*, got str"):
        import_torch("net")


def test_program_that_cannot_be_exported() -> None:
    class Sampler(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x if np.asarray(x.detach().numpy()).sum() > 0 else -x

    with pytest.raises(ModelError, match=r"torch\.onnx\.export cannot export Sampler"):
        import_torch(Sampler(), (torch.zeros(1, 3),))


def test_pt2_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    module = _module().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 16, 16),)), path)
    with pytest.raises(ModelError, match=r"unpickles .* --trust-pickle") as caught:
        import_model(path, {})
    assert caught.value.exit_code == 4
    imported = import_model(path, {}, trust_pickle=True)
    assert _matches(imported.model, module)
    assert imported.source.format == "pt2"


def test_damaged_pt2(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"not a program")
    with pytest.raises(ModelError, match=r"net\.pt2: torch\.export\.load cannot read it"):
        import_model(path, {}, trust_pickle=True)
