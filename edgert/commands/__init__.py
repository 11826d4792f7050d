"""The verbs of the command line: one module each, imported only when that verb is called.

The module of a verb with a hyphen has an underscore there.
A module has `add_arguments(parser)`, `execute(arguments, console) -> exit code` and a public function of the verb's
name that does the work without a command line.
"""

from __future__ import annotations

__all__ = ["VERBS"]

VERBS = {
    "convert": "convert and quantize a model, and decide whether its accuracy holds",
    "inspect": "say what is in a model or bundle and which targets support it",
    "unpack": "write the files of a bundle into a folder",
    "run": "run a bundle or model on arrays",
    "verify": "compare engines with the integer interpreter, layer by layer",
    "profile": "measure latency, memory and energy",
    "compare": "compare two profile records",
    "predict": "say what a model would cost on a device, without running it there",
    "search": "find the best form of a model under a device's limits, measured on the device",
    "deploy": "put an app or a new model onto boards, tried there before it is trusted",
    "status": "say which apps run on boards, and how they are",
    "logs": "show what an app on a board wrote",
    "open": "open the page of an app on a board, through an SSH tunnel",
    "rollback": "go back to the release of an app that was trusted before",
    "undeploy": "take an app off a board",
    "sign": "sign a bundle with your SSH key",
    "verify-signature": "say who signed a bundle, and whether it is as it was then",
    "report": "write the HTML page of a bundle or record",
    "selftest": "try edgert on a device of your own and write a card about it",
    "demo": "convert, run and profile a small model that comes with edgert",
    "doctor": "check this computer and say what to install or set",
    "devices": "store boards by name, and flash them",
    "targets": "list the devices that edgert knows, or show one",
}
"""Verb -> one line for `edgert --help`; the module is edgert.commands.<verb>, with _ for -."""
