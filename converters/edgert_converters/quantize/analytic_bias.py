"""Bias correction without data: what rounding shifts, from the means that folded normalisations remember.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, section 4.2.1, equations 14-19. Where no normalisation says anything, nothing
changes.
"""

from __future__ import annotations

from dataclasses import replace

from edgert_converters.quantize.bias_correction import output_shift
from edgert_converters.quantize.draft import Calibration, Change, Draft, Settings
from edgert_converters.quantize.moments import known_moments
from edgert_converters.quantize.rounding import round_node
from edgert_converters.quantize.weighted import read_weighted, weighted_nodes

__all__ = ["correct_biases_analytically"]


def correct_biases_analytically(draft: Draft, calibration: Calibration, settings: Settings) -> Draft:
    """Returns the draft with the biases moved by the mean shift that rounding their weights causes.

    Args:
        draft: its plan has rounded weights; operators without a bias keep none.
        calibration: not looked at.
        settings: not looked at.
    """
    plan, known = draft.final, known_moments(draft.model)
    weights, moved = dict(plan.weights), 0
    for node in weighted_nodes(draft.model, plan.integer_nodes):
        name, weighted = str(node.name), read_weighted(node)
        moments = known.get(str(node.inputs[0].name)) if node.inputs[0] is not None else None
        if weighted.bias is None or moments is None:
            continue
        rounded = plan.weights[name]
        shift = output_shift(node, weighted.weight, rounded.weight, rounded.weight_params, moments.mean)
        weights[name] = round_node(node, plan, weighted, weighted.bias + shift)
        moved += 1
    what = f"moved the biases of {moved} operators"
    why = "means of their inputs follow from folded normalisations" if moved else "no folded normalisation says a mean"
    return draft.changed(Change("analytic-bias", "model", what, why), plan=replace(plan, weights=weights))
