"""Runs an app from its command line to its end: the one call that an app.py makes."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from edgert.app.events import Journal
from edgert.app.feed import PictureFeed
from edgert.app.findings import Scene
from edgert.app.health import HealthFile
from edgert.app.inputs import PICTURES, Inputs
from edgert.app.loop import Controls, Explain, Loop
from edgert.app.model import AppModel
from edgert.app.notify import Notifier
from edgert.app.options import Options, page_token, parse_options
from edgert.app.page import Page
from edgert.app.page_guard import Access
from edgert.app.page_state import PageState, summary
from edgert.app.place import Place
from edgert.app.sensors import SensorThread
from edgert.errors import EdgertError, UsageError

__all__ = ["App", "run_app"]


@dataclass(frozen=True, slots=True)
class App:
    """What is an app's own: its title, one sentence for --help, how results become findings, its defaults.

    `explain` gets the options first, so that it can keep what it needs; what it returns is called for every frame.
    `inputs` is what it can be fed with, `most_threshold` the upper end of its threshold.
    """

    title: str
    words: str
    explain: Callable[[Options, AppModel], Explain]
    defaults: Mapping[str, object] = field(default_factory=dict)
    inputs: Inputs = PICTURES
    most_threshold: float = 1.0


def run_app(app: App, argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """Runs until SIGTERM, Ctrl-C or --seconds, then writes a line of JSON to `out` (stdout). Returns the exit code."""
    health = HealthFile()
    try:
        options = parse_options(argv, app.words, app.defaults, app.inputs.words)
        run(app, options, out or sys.stdout, health)
    except EdgertError as error:
        health.failed(str(error))
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except Exception as error:
        health.failed(f"{type(error).__name__}: {error}")
        raise
    health.ended()
    return 0


def run(app: App, options: Options, out: TextIO, health: HealthFile) -> None:
    """Runs with options that were read.

    Raises:
        EdgertError: the model, the input or the page cannot be opened as asked, or the model's answers are wrong.
    """
    _check_threshold(app, options)
    access = Access(options.address, page_token())
    with ExitStack() as stack:
        health.loading()
        model = AppModel(Path(options.bundle), options.variant, Place(options.device, options.threads))
        stack.callback(model.close)
        health.checking()
        health.checked(model.check())
        source = app.inputs.open(options, model)
        stack.callback(source.close)
        sensors = SensorThread(options.energy)
        stack.callback(sensors.close)
        notifier = Notifier()
        stack.callback(notifier.stopping)
        controls, journal = Controls(model, options.threshold, app.most_threshold), Journal(out)
        feed = PictureFeed(options.page_rate)
        stack.callback(feed.close)
        publish, where = _publisher(journal, feed), None
        loop = Loop(source, controls, app.explain(options, model), publish, sensors, notifier, health.alive)
        if not options.headless:
            state = PageState(
                app.title, loop, controls, feed, sensors, journal, app.inputs.has_pictures, health.release
            )
            page = Page(state, access, options.port)
            stack.callback(page.close)
            where = f"{options.address}:{page.port}"
            sys.stderr.write(f"page: http://{where}/\n")
            sys.stderr.flush()
        health.watch(loop, sensors, where)
        with _ended_by_signals(loop):
            loop.run(options.seconds)
        more = {"events": journal.count, "memory_bytes": sensors.state.memory_bytes}
        out.write(json.dumps({**summary(loop.state(), controls), **more}) + "\n")
        out.flush()


def _check_threshold(app: App, options: Options) -> None:
    if options.threshold > app.most_threshold:
        raise UsageError(f"threshold is {options.threshold:g}; allowed: 0 to {app.most_threshold:g}")


def _publisher(journal: Journal, feed: PictureFeed) -> Callable[[Scene], None]:
    def publish(scene: Scene) -> None:
        for event in scene.events:
            journal.add(event)
        feed.publish(scene)

    return publish


@contextlib.contextmanager
def _ended_by_signals(loop: Loop) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the loop after its frame; a second one ends the process as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end(number: int, _: object) -> None:
        loop.stop()
        signal.signal(number, signal.SIG_DFL)

    try:
        for number in before:
            signal.signal(number, end)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
