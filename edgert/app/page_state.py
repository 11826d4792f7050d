"""What the page, /metrics and /healthz say, from the loop's own figures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edgert.app.events import Journal
from edgert.app.feed import PictureFeed
from edgert.app.findings import Scene
from edgert.app.loop import Controls, Loop, LoopState, chart_values
from edgert.app.sensors import SensorThread
from edgert.codec import JsonValue

__all__ = ["PageState", "summary"]

_MOST_FINDINGS = 50
_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class PageState:
    """The parts of a running app, for reading. `has_pictures` False: the page shows a plot of the scene's trace.

    `release`: which one of a deployed app it is.
    """

    title: str
    loop: Loop
    controls: Controls
    feed: PictureFeed
    sensors: SensorThread
    journal: Journal | None = None
    has_pictures: bool = True
    release: str | None = None

    def state(self) -> dict[str, JsonValue]:
        """Everything the page shows, for JSON."""
        model, sensed = self.controls.model, self.sensors.state
        return {
            **summary(self.loop.state(), self.controls),
            "title": self.title,
            "release": self.release,
            "labels": len(model.labels),
            "variants": list(model.variants),
            "threshold_most": self.controls.most,
            "viewers": self.feed.viewers,
            "temperature_c": sensed.temperature_c,
            "power_mw": sensed.power_mw,
            "power_source": sensed.power_source,
            "power_reason": sensed.power_reason,
            "memory_bytes": sensed.memory_bytes,
            "scene": _scene_values(self.feed.latest),
            "events": self.journal.newest() if self.journal is not None else [],
            "charts": {name: list(values) for name, values in chart_values(self.loop.points).items()},
        }

    def health(self) -> tuple[bool, dict[str, JsonValue]]:
        """Whether frames are processed, and the words for /healthz."""
        state = self.loop.state()
        return state.is_healthy, {"ok": state.is_healthy, "frames": state.frames, "problem": state.problem}

    def metrics(self) -> str:
        """Returns the text for Prometheus (exposition format 0.0.4)."""
        state, sensed = self.loop.state(), self.sensors.state
        lines = [
            *_metric("frames_total", "counter", "Frames processed.", state.frames),
            *_metric("frames_dropped_total", "counter", "Frames replaced by newer ones.", state.source.dropped),
            *_metric("source_restarts_total", "counter", "Times the input was started anew.", state.source.restarts),
            *_metric("frames_per_second", "gauge", "Frames processed a second, over 5 s.", round(state.fps, 3)),
            *_metric("events_total", "counter", "Detections and alarms.", self.journal.count if self.journal else None),
            *_metric("healthy", "gauge", "1 while frames are processed.", int(state.is_healthy)),
            *_metric("page_viewers", "gauge", "Browsers that look at the picture.", self.feed.viewers),
            *_metric("temperature_celsius", "gauge", "The hottest sensor.", sensed.temperature_c),
            *_metric("power_milliwatts", "gauge", "Power of the computer.", sensed.power_mw),
            *_metric("memory_bytes", "gauge", "Resident memory of the app.", sensed.memory_bytes),
            *self._release_lines(),
            "# HELP edgert_latency_milliseconds Latency by stage, over the whole run.",
            "# TYPE edgert_latency_milliseconds summary",
        ]
        for name, histogram in self.loop.histograms().items():
            for share in _QUANTILES if histogram.count else ():
                value = histogram.percentile_ms(share)
                lines.append(f'edgert_latency_milliseconds{{stage="{name}",quantile="{share}"}} {value:.6g}')
            lines.append(f'edgert_latency_milliseconds_sum{{stage="{name}"}} {histogram.sum_ms:.6g}')
            lines.append(f'edgert_latency_milliseconds_count{{stage="{name}"}} {histogram.count}')
        return "\n".join(lines) + "\n"

    def _release_lines(self) -> list[str]:
        if self.release is None:
            return []
        model = self.controls.model
        labels = {"release": self.release, "model": model.name, "variant": model.variant}
        words = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        head = ["# HELP edgert_release_info What runs: always 1.", "# TYPE edgert_release_info gauge"]
        return [*head, f"edgert_release_info{{{words}}} 1"]


def summary(state: LoopState, controls: Controls) -> dict[str, JsonValue]:
    """Returns the figures of a run for JSON: what a headless run prints at its end."""
    model = controls.model
    stages: dict[str, JsonValue] = {
        name: {key: _rounded(value) for key, value in dataclasses.asdict(stage).items()}
        for name, stage in state.stages.items()
    }
    return {
        "model": model.name,
        "variant": model.variant,
        "engine": model.engine,
        "threshold": controls.threshold,
        "input": state.source.words,
        "seconds": round(state.seconds, 3),
        "frames": state.frames,
        "fps": round(state.fps, 2),
        "frames_read": state.source.frames,
        "frames_dropped": state.source.dropped,
        "source_restarts": state.source.restarts,
        "is_healthy": state.is_healthy,
        "problem": state.problem,
        "source_problem": state.source.problem,
        "stages": stages,
    }


def _scene_values(scene: Scene | None) -> JsonValue:
    if scene is None:
        return None
    findings: list[JsonValue] = [
        {"label": found.label, "score": round(found.score, 4)} for found in scene.findings[:_MOST_FINDINGS]
    ]
    plot = None if scene.trace is None else scene.trace.values()
    return {"sequence": scene.sequence, "findings": findings, "notes": list(scene.notes), "plot": plot}


def _metric(name: str, kind: str, words: str, value: float | None) -> list[str]:
    if value is None:
        return []
    return [f"# HELP edgert_{name} {words}", f"# TYPE edgert_{name} {kind}", f"edgert_{name} {value}"]


def _escaped(value: str) -> str:
    """A label's value as Prometheus reads it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
