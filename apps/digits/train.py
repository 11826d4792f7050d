"""Trains the network of `edgert demo` and writes it with its data: the only file of this project that trains it.

    python apps/digits/train.py --output-dir edgert/demo

UCI handwritten digits (scikit-learn, 8x8, 17 grey levels) are enlarged to 32x32 and disturbed: shift, rotation, size,
contrast, brightness and noise. The first 897 originals (in the order of the file)
train and calibrate, the last 900 only evaluate; the split comes before any disturbance.
Same seed, same versions and same number of threads: same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

TRAIN_ORIGINALS = 897
CALIBRATION_IMAGES = 200
IMAGE_SIZE = 32
GREY_LEVELS = 16  # as many as the originals have; it also keeps the committed files small
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Largest amount of each disturbance; every image draws its own, uniformly (noise: normal)."""

    shift_pixels: float = 3.0
    rotation_degrees: float = 18.0
    size_loss: float = 0.35
    contrast_loss: float = 0.5
    brightness: float = 0.2
    noise_sigma: float = 0.14


class Residual(nn.Module):
    """Two 3x3 convolutions with BatchNorm beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Takes float32[N, C, H, W], returns float32[N, C', H/stride, W/stride]."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class DigitsNet(nn.Module):
    """A residual network of 23 M multiply-accumulates: float32[N, 1, 32, 32] in 0..1 to 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(24)
        self.stage1 = Residual(24, 24, 1)
        self.stage2 = Residual(24, 48, 2)
        self.stage3 = Residual(48, 64, 2)
        self.classifier = nn.Linear(64, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Takes float32[N, 1, 32, 32], returns float32[N, 10]."""
        x = functional.relu(self.norm(self.stem(image)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(x.mean(dim=(2, 3)))


def disturb(originals: Tensor, amount: Disturbance, generator: torch.Generator) -> Tensor:
    """Returns float32[N, 1, 32, 32] in 0..1 (16 grey levels) from originals float32[N, 1, 8, 8] in 0..1."""
    count = len(originals)

    def draw(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = draw(math.radians(amount.rotation_degrees))
    size = 1 - torch.rand(count, generator=generator) * amount.size_loss
    shift_x, shift_y = (draw(2 * amount.shift_pixels / IMAGE_SIZE) for _ in range(2))
    affine = torch.stack(
        [
            torch.stack([angle.cos() / size, -angle.sin() / size, shift_x], dim=1),
            torch.stack([angle.sin() / size, angle.cos() / size, shift_y], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(affine, [count, 1, IMAGE_SIZE, IMAGE_SIZE], align_corners=False)
    large = functional.interpolate(originals, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", align_corners=False)
    moved = functional.grid_sample(large, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    contrast = 1 - torch.rand(count, generator=generator) * amount.contrast_loss
    brightness = draw(amount.brightness)
    noise = torch.randn(moved.shape, generator=generator) * amount.noise_sigma
    image = (
        moved * contrast.view(-1, 1, 1, 1)
        + brightness.view(-1, 1, 1, 1)
        + noise * torch.rand((count, 1, 1, 1), generator=generator)
    )
    return (image.clamp(0, 1) * (GREY_LEVELS - 1)).round() / (GREY_LEVELS - 1)


def train_network(originals: Tensor, labels: Tensor, epochs: int, batch: int, seed: int) -> DigitsNet:
    """Returns the trained network in evaluation mode; each epoch sees every original twice, disturbed anew."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = DigitsNet()
    steps = epochs * math.ceil(2 * len(originals) / batch)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    started = time.monotonic()
    for epoch in range(epochs):
        network.train()
        order = torch.cat([torch.randperm(len(originals), generator=generator) for _ in range(2)])
        total_loss = 0.0
        for chosen in order.split(batch):
            loss = functional.cross_entropy(
                network(disturb(originals[chosen], Disturbance(), generator)), labels[chosen]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item() * len(chosen)
        print(f"epoch {epoch + 1}/{epochs}: loss {total_loss / len(order):.4f}, {time.monotonic() - started:.0f} s")
    return network.eval()


def accuracy(network: DigitsNet, images: Tensor, labels: Tensor) -> float:
    """Returns the share of images whose largest logit is the label's."""
    with torch.no_grad():
        return float((network(images).argmax(dim=1) == labels).float().mean())


def export_onnx(network: DigitsNet, path: Path) -> None:
    """Writes the network as ONNX, opset 18, with a dynamic axis `batch`."""
    torch.onnx.export(
        network,
        (torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE),),
        path,
        input_names=["image"],
        output_names=["logits"],
        opset_version=18,
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    strip_metadata(path)


def strip_metadata(path: Path) -> None:
    """Removes what the exporter notes about source lines and folders of the computer it ran on."""
    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.ClearField("value_info")
    model.graph.name = "digits"
    onnx.save(model, path)


def as_uint8(images: Tensor) -> np.ndarray:
    """Returns grey images uint8[N, 32, 32] in 0..255; exact, because 15 divides 255."""
    return (images * 255).round().to(torch.uint8).squeeze(1).numpy()


def main() -> None:
    """Trains, exports and writes the data; prints the held-out accuracy as JSON."""
    parser = argparse.ArgumentParser(description="train the network of `edgert demo`")
    parser.add_argument("--output-dir", type=Path, required=True, help="where digits.onnx and the .npz files go")
    parser.add_argument(
        "--epochs", type=int, default=60, help="passes over the training half, each twice (default: 60)"
    )
    parser.add_argument("--batch", type=int, default=64, help="images per step (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    arguments = parser.parse_args()

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(arguments.threads)
    digits = load_digits()
    originals = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    train, held_out = slice(None, TRAIN_ORIGINALS), slice(TRAIN_ORIGINALS, None)
    eval_images = disturb(originals[held_out], Disturbance(), torch.Generator().manual_seed(arguments.seed + 1))
    calib_images = disturb(originals[train], Disturbance(), torch.Generator().manual_seed(arguments.seed + 2))

    network = train_network(originals[train], labels[train], arguments.epochs, arguments.batch, arguments.seed)
    folder: Path = arguments.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(network, folder / "digits.onnx")
    np.savez_compressed(folder / "digits_calib.npz", x=as_uint8(calib_images[:CALIBRATION_IMAGES]))
    np.savez_compressed(
        folder / "digits_eval.npz", x=as_uint8(eval_images), y=labels[held_out].numpy().astype(np.int64)
    )
    plain = functional.interpolate(
        originals[held_out], size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", align_corners=False
    )
    result = {
        "held_out": len(eval_images),
        "top1": round(accuracy(network, eval_images, labels[held_out]), 4),
        "top1_undisturbed": round(accuracy(network, plain.clamp(0, 1), labels[held_out]), 4),
        "torch": torch.__version__,
        "threads": arguments.threads,
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.glob("digits*"))},
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
