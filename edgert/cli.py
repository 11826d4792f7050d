"""The `edgert` command: finds the verb, calls it, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 a finding or failed gate, 2 usage, 3 device unreachable, 4 bad input file, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

import edgert
from edgert.commands import VERBS
from edgert.commands.console import Console
from edgert.errors import EdgertError, InputFileError, OutputError, did_you_mean

__all__ = ["build_parser", "main"]

INTERRUPTED = 130
_INTERRUPTED_TEXT = "edgert: interrupted"
_EPILOG = "edgert VERB --help says more about one verb. Exit codes: 0 done, 1 a finding or failed gate, 2 usage, "
_EPILOG += "3 device unreachable, 4 bad input file, 130 interrupted."
_ISSUES = "please report it, with the output of the same command and --debug"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parse(words)
        return _run(arguments, Console(sys.stdout, sys.stderr, as_json=arguments.json, quiet=arguments.quiet))
    except KeyboardInterrupt:  # while a verb is imported
        sys.stderr.write(f"{_INTERRUPTED_TEXT}\n")
        return INTERRUPTED


def _run(arguments: argparse.Namespace, console: Console) -> int:
    try:
        return _execute(arguments, console)
    except KeyboardInterrupt:
        console.error(_INTERRUPTED_TEXT)
        return INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except EdgertError as error:
        return _report(error, console, arguments)
    except OSError as error:  # a path that even looking at fails: too long, a loop of links, no right to look
        if error.filename is None:
            _silence_stdout()
        return _report(_from_system(error), console, arguments)
    except Exception as error:  # a bug: one line for the user, the rest on request
        text = " ".join(str(error).split())[:300]
        console.error(f"edgert: internal error: {type(error).__name__}: {text}; {_ISSUES}")
        _trace(error, arguments)
        return 1


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Returns the parser; only the arguments of `verb` are filled in, since each verb costs an import."""
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common, argparse.SUPPRESS)
    parser = argparse.ArgumentParser(
        prog="edgert", description="One model in, every edge device out.", epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"edgert {edgert.__version__}")
    _add_common(parser, False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, summary in VERBS.items():
        child = verbs.add_parser(name, help=summary, description=_sentence(summary), parents=[common])
        child.allow_abbrev = False
        if name == verb:
            _module(name).add_arguments(child)
    return parser


def _parse(words: list[str]) -> argparse.Namespace:
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        build_parser().error(f"no verb {verb!r}{did_you_mean(verb, VERBS)}")
    parser = build_parser(verb)
    arguments = parser.parse_args(words)
    if arguments.verb is None:
        parser.error("say what to do: edgert VERB; edgert --help lists the verbs")
    return arguments


def _execute(arguments: argparse.Namespace, console: Console) -> int:
    status: int = _module(arguments.verb).execute(arguments, console)
    sys.stdout.flush()  # a closed pipe shows here, not at exit
    return status


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"edgert.commands.{verb.replace('-', '_')}")


def _add_common(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("--json", action="store_true", default=default, help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", default=default, help="print no messages, only the result")
    parser.add_argument("--debug", action="store_true", default=default, help="print a traceback with an error")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _report(error: EdgertError, console: Console, arguments: argparse.Namespace) -> int:
    console.error(f"edgert: {error}")
    _trace(error, arguments)
    if arguments.json:
        plain = {"type": type(error).__name__, "text": str(error), "exit_code": error.exit_code}
        console.result({"error": plain}, "")
    return error.exit_code


def _from_system(error: OSError) -> EdgertError:
    reason = error.strerror or str(error)
    if error.filename is not None:
        typed: EdgertError = InputFileError(f"{error.filename}: cannot be used ({reason})")
    else:
        typed = OutputError(f"cannot write: {reason}")
    typed.__cause__ = error
    return typed


def _trace(error: BaseException, arguments: argparse.Namespace) -> None:
    if arguments.debug:
        traceback.print_exception(error, file=sys.stderr)


def _silence_stdout() -> None:
    # the interpreter flushes stdout at exit and would complain about the closed pipe or full disk again
    with contextlib.suppress(OSError, ValueError):  # a stream without a file descriptor has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    raise SystemExit(main())
