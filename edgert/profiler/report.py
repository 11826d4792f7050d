"""The report: one self-contained HTML page about a bundle and what was measured of it (docs/report.md).

No network, no fonts, no scripts but one small one for sorting tables; the page forbids anything else to itself by a
content security policy. Names in it come from files nobody vouches for: everything is escaped (report_html), and every
key of report.json or of a record may be missing. Same bundle and records, same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from edgert.bundle import Bundle, TensorSpec
from edgert.profiler.report_accuracy import accuracy_section, verdict_list
from edgert.profiler.report_changes import changes_section, repair_section
from edgert.profiler.report_fit import fit_section
from edgert.profiler.report_html import Html, element, join, raw
from edgert.profiler.report_layers import cost_section, error_section, size_section
from edgert.profiler.report_measurements import environment_section
from edgert.profiler.report_records import latency_section, measured_on
from edgert.profiler.report_samples import samples_section
from edgert.profiler.report_style import SCRIPT, STYLE
from edgert.profiler.report_values import Json
from edgert.profiler.report_view import ReportView

__all__ = ["build_report"]


def build_report(bundle: Bundle, records: Sequence[dict[str, Json]] = ()) -> str:
    """Returns the report as one HTML page.

    Args:
        bundle: an open bundle; its manifest and report.json are read.
        records: profile records of its variants, as parsed JSON; records of other files are left out with a remark.

    Raises:
        BundleError: report.json is damaged.
    """
    view = ReportView.of(bundle, records)
    sections = [
        _header(view),
        accuracy_section(view),
        size_section(view),
        fit_section(view),
        latency_section(view),
        cost_section(view),
        error_section(view),
        samples_section(view),
        repair_section(view),
        changes_section(view),
        environment_section(view),
        _footer(view),
    ]
    page = element("html", _head(view), element("body", element("main", *sections), _script()), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(view: ReportView) -> Html:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        raw('<meta http-equiv="Content-Security-Policy" content="' + policy + '"/>'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{view.manifest.name}: edgert report"),
        element("style", raw(STYLE)),
    )


def _script() -> Html:
    return element("script", raw(SCRIPT))


def _header(view: ReportView) -> Html:
    manifest = view.manifest
    facts = [
        ("source", join([manifest.source.name, f" ({manifest.source.format})"])),
        ("source SHA-256", element("code", manifest.source.sha256)),
        ("inputs", join(_tensor(spec) for spec in manifest.inputs)),
        ("outputs", join(_tensor(spec) for spec in manifest.outputs)),
        ("measured", measured_on(view.records) or "not measured: no profile record was given"),
    ]
    rows = [part for title, text in facts for part in (element("dt", title), element("dd", text))]
    return element("header", element("h1", manifest.name), element("dl", *rows), verdict_list(view))


def _tensor(spec: TensorSpec) -> Html:
    shape = ", ".join("?" if axis is None else str(axis) for axis in spec.shape)
    return element("div", element("code", f"{spec.name}: {spec.dtype.value}[{shape}]"))


def _footer(view: ReportView) -> Html:
    text = f"edgert {view.manifest.edgert_version}, bundle manifest SHA-256 {view.bundle_sha256}"
    return element("footer", text)
