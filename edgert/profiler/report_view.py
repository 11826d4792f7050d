"""What every section of the report reads: the manifest, report.json and the profile records, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgert.bundle import Bundle, Gate, Manifest, Variant
from edgert.profiler.report_html import Html, element
from edgert.profiler.report_values import Json, format_number, mapping_at, number_at, rows_at, text_at

__all__ = ["ReportView", "absent", "card", "chip", "format_decibel", "format_metric", "format_points", "table"]

_VERDICTS = {
    Gate.PASSED: ("passed", "good"),
    Gate.FAILED: ("failed", "bad"),
    Gate.UNDECIDED: ("undecided", "doubt"),
    Gate.NONE: ("unverified", "none"),
}


@dataclass(frozen=True, slots=True)
class ReportView:
    """A bundle and its measurements, as plain values."""

    manifest: Manifest
    bundle_sha256: str
    report: dict[str, Json]
    records: tuple[dict[str, Json], ...]
    foreign_records: int = 0

    @classmethod
    def of(cls, bundle: Bundle, records: Sequence[dict[str, Json]]) -> ReportView:
        """Returns the view of a bundle; records of files that are not in it are only counted."""
        report, manifest = bundle.report(), bundle.manifest
        hashes = {v.id: entry.sha256 for v in manifest.variants if (entry := manifest.files.get(v.path))}
        own = tuple(record for record in records if _is_of(record, hashes))
        plain = report if isinstance(report, dict) else {}
        return cls(manifest, bundle.sha256, plain, own, len(records) - len(own))

    @property
    def reference_id(self) -> str:
        """The variant that the others are compared with: named by the report, else the first float one."""
        named = text_at(self.report, "reference", "variant")
        if named is not None:
            return named
        return next((v.id for v in self.manifest.variants if v.precision == "fp32"), self.manifest.variants[0].id)

    @property
    def metric(self) -> str | None:
        """Name of the accuracy metric, None where nothing was evaluated."""
        return text_at(self.report, "reference", "metric")

    def accuracy(self, variant_id: str) -> dict[str, Json]:
        """Returns the report's row of a variant; the reference's own values fill its gaps."""
        reference = mapping_at(self.report, "reference") if variant_id == self.reference_id else {}
        for row in rows_at(self.report, "variants"):
            if row.get("id") == variant_id:
                return reference | {key: value for key, value in row.items() if value is not None}
        return reference

    def size_bytes(self, variant: Variant) -> int:
        """Returns the size of all files of a variant inside the bundle; of C that of its constants, not of its text."""
        constants = number_at(self.accuracy(variant.id), "bytes") if variant.format == "c" else None
        if constants is not None:
            return int(constants)
        folder = variant.path.rsplit("/", 1)[0] + "/" if "/" in variant.path else variant.path
        return sum(entry.size_bytes for name, entry in self.manifest.files.items() if name.startswith(folder))

    def verdict(self, variant: Variant) -> tuple[str, str]:
        """Returns the word for a variant's gate and the tone it is drawn in."""
        if variant.id == self.reference_id and variant.gate is Gate.NONE:
            return "reference", "none"
        return _VERDICTS[variant.gate]


def card(title: str, lead: str | None, *content: Html | str | None) -> Html:
    """Returns one section of the page."""
    return element("section", element("h2", title), element("p", lead, class_="lead") if lead else None, *content)


def chip(word: str, tone: str) -> Html:
    """Returns a verdict word on its colour."""
    return element("span", word, class_=f"chip {tone}")


def absent(text: str) -> Html:
    """Returns the sentence that stands where something is missing."""
    return element("p", text, class_="none")


def table(heads: Sequence[tuple[str, str]], rows: Sequence[Html], *, sortable: bool = False) -> Html:
    """Returns a table in its own horizontal scroller.

    Args:
        heads: (text, class) of every column.
        rows: `tr` elements.
        sortable: the heads become buttons that sort by their column.
    """
    cells = [
        element("th", element("button", text, type="button") if sortable else text, class_=class_ or None, scope="col")
        for text, class_ in heads
    ]
    body = element("table", element("thead", element("tr", *cells)), element("tbody", *rows))
    return element("div", body, class_="scroll")


def format_metric(view: ReportView, value: float | None) -> str:
    """Returns a value of the report's metric with its unit."""
    if value is None:
        return "not evaluated"
    unit = text_at(view.report, "reference", "unit")
    return f"{value:.2f} {unit}" if unit else format_number(value, 4)


def format_points(row: Json, *keys: str) -> str | None:
    """Returns a difference in points with its sign, None where it is missing."""
    value = number_at(row, *keys)
    return None if value is None else f"{round(value, 2) + 0.0:+.2f}".replace("-", "\u2212").replace("+0.00", "0.00")


def format_decibel(data: Json, key: str) -> str:
    """Returns a ratio in decibels, a dash where it is missing."""
    value = number_at(data, key)
    return "\u2013" if value is None else f"{value:.1f} dB".replace("-", "\u2212")


def _is_of(record: dict[str, Json], hashes: Mapping[str, str]) -> bool:
    variant, measured = text_at(record, "variant"), text_at(record, "model", "variant_sha256")
    return variant is not None and variant in hashes and measured in {None, hashes[variant]}
