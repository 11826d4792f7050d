"""The report of a search: one HTML page."""

from __future__ import annotations

from edgert.search.result import SearchResult

__all__ = ["build_search_report"]


def build_search_report(result: SearchResult) -> str:
    """Returns the page."""
    return f"<!DOCTYPE html><title>{result.settings.study}</title>"
