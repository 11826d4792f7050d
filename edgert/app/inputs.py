"""What an app can be fed with: pictures or sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgert.app.frames import FrameSource
from edgert.app.model import AppModel
from edgert.app.options import Options
from edgert.app.sound import hearing_of
from edgert.app.sound_sources import SOUND_WORDS, open_sound
from edgert.app.sources import INPUT_WORDS, Picture, open_source

__all__ = ["PICTURES", "SOUND", "Inputs", "OpenInput"]


class OpenInput(Protocol):
    """Starts the source that the options name."""

    def __call__(self, options: Options, model: AppModel) -> FrameSource:
        """Returns a source of what the model takes.

        Raises:
            EdgertError: `--input` names none, or the model takes something else.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """A kind of input: its words for `--input`, how it is opened, whether the page shows pictures of it or a plot."""

    words: str
    open: OpenInput
    has_pictures: bool


def _open_pictures(options: Options, model: AppModel) -> FrameSource:
    del model
    height, width = options.height_width
    return open_source(options.input, Picture(options.rate, height, width))


def _open_sound(options: Options, model: AppModel) -> FrameSource:
    return open_sound(options.input, hearing_of(model.manifest, options.hop))


PICTURES = Inputs(INPUT_WORDS, _open_pictures, has_pictures=True)
SOUND = Inputs(SOUND_WORDS, _open_sound, has_pictures=False)
