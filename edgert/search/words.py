"""Quantities and choices in words, for the terminal and the report."""

from __future__ import annotations

from edgert.search.goals import Measured, Quantity
from edgert.search.space import Choice
from edgert.units import format_bytes, format_ms

__all__ = ["axis_title", "format_choice", "format_quantity"]

_TITLES = {
    Quantity.LATENCY_MS: "latency, ms",
    Quantity.ENERGY_MJ: "gross energy per inference, mJ",
    Quantity.RAM_BYTES: "RAM, bytes",
    Quantity.FLASH_BYTES: "flash, bytes",
    Quantity.SIZE_BYTES: "size, bytes",
}


def axis_title(quantity: Quantity) -> str:
    """Returns a quantity's name with its unit."""
    return _TITLES.get(quantity, quantity.value)


def format_choice(choice: Choice) -> str:
    """Returns a choice in one line."""
    return ", ".join(f"{name}={value}" for name, value in choice.items())


def format_quantity(quantity: Quantity, measured: Measured) -> str:
    """Returns a value with its unit; a dash where it was not measured."""
    value = measured.get(quantity)
    if value is None:
        return "-"
    if quantity is Quantity.LATENCY_MS:
        return format_ms(value)
    if quantity is Quantity.ENERGY_MJ:
        return f"{value:.4g} mJ"
    if quantity.value.endswith("_bytes"):
        return format_bytes(int(value))
    return f"{value:,.0f}" if quantity is Quantity.INSTRUCTIONS else f"{value:.4g}"
