"""Words in clips that are played to keyword_spotting one behind the other: how many are detected, with which figures.

The clips are the 60 of speech_commands_v2_wav_60.npz, a second each, without a pause between them. A detection counts
as right where it names the word of the clip that was playing 0.3 s before.

    python tests/bench/keyword_clips.py --clips speech_commands_v2_wav_60.npz --bundle kws.edge [-- more of the app]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
APP = ROOT / "apps/keyword_spotting/app.py"
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
LAG_S = 0.3


def write_clips(path: Path, folder: Path) -> list[str]:
    """Writes the clips as .wav files whose names keep their order; returns the words in them."""
    with np.load(path) as data:
        clips, labels = data["wav_int16"], data["labels"]
    for index, clip in enumerate(clips):
        with wave.open(str(folder / f"{index:03}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(clip.astype("<i2").tobytes())
    return [WORDS[label] for label in labels]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("more", nargs="*", help="further arguments of the app, behind --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = write_clips(arguments.clips, Path(folder))
        command = [sys.executable, str(APP), "--bundle", str(arguments.bundle), "--input", folder, "--headless"]
        limit = ["--seconds", str(len(words) + 0.8), "--energy", "none", *arguments.more]
        done = subprocess.run([*command, *limit], stdout=subprocess.PIPE, text=True, check=True)
    *events, summary = [json.loads(line) for line in done.stdout.splitlines()]
    playing = [(min(max(0, int(event["stream_s"] - LAG_S)), len(words) - 1), event["label"]) for event in events]
    found = {clip for clip, label in playing if words[clip] == label}
    wrong = sum(words[clip] != label for clip, label in playing)
    print(f"{len(found)} of {len(words)} words, {wrong} wrong detections")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
