"""The command itself: verbs, streams and exit codes. What each verb does is tested in test_cli_verbs.py."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import edgert
from edgert import cli
from edgert.commands import VERBS
from edgert.commands.console import Console, format_table
from edgert.errors import DataError, DeviceError, UsageError
from tests import bundle_example as example

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "edgert"]


def call(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, env=environment, check=False, timeout=120, **options
    )  # type: ignore[call-overload]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists_and_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"edgert {verb}" in text
    assert "--json" in text
    module = cli._module(verb)
    assert callable(getattr(module, verb.replace("-", "_")))


def test_help_lists_the_verbs_and_imports_none_of_them() -> None:
    script = (
        "import sys; from edgert.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('edgert.commands.') or m == 'onnxruntime'])"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"\n    {verb}" in result.stdout for verb in VERBS)
    assert result.stdout.endswith("['edgert.commands.progress', 'edgert.commands.console']\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"edgert {edgert.__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "say what to do"),
        (["rum"], "no verb 'rum'; did you mean 'run'?"),
        (["run"], "required: BUNDLE"),
        (["targets", "--nope"], "unrecognized arguments: --nope"),
    ],
)
def test_a_wrong_command_line_is_2(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("write it so"), 2, "edgert: write it so\n"),
        (DeviceError("it is off"), 3, "edgert: it is off\n"),
        (DataError("too long"), 4, "edgert: too long\n"),
        (KeyboardInterrupt(), 130, "edgert: interrupted\n"),
        (
            ZeroDivisionError("x\ny"),
            1,
            "edgert: internal error: ZeroDivisionError: x y; please report it, "
            "with the output of the same command and --debug\n",
        ),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--debug"]])
def test_errors_are_one_line_and_a_code(
    error: BaseException,
    code: int,
    text: str,
    flags: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_execute", fail)
    assert cli.main([*flags, "doctor"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(text)
    has_trace = bool(flags) and code != 130
    assert ("Traceback" in captured.err) == has_trace


def test_an_error_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(tmp_path / "no.edge"), "--json"]) == 4
    captured = capsys.readouterr()
    assert '"type": "BundleError"' in captured.out
    assert '"exit_code": 4' in captured.out
    assert "no such file" in captured.err


def test_common_flags_stand_before_or_after_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "targets"]) == 0
    before = capsys.readouterr().out
    assert cli.main(["targets", "--json"]) == 0
    assert capsys.readouterr().out == before
    assert before.startswith("{")


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [*COMMAND, "targets", "--json"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def loaded_worker(parent: subprocess.Popen[str]) -> Path:
    """The /proc folder of the worker, once it has loaded the engine."""
    while parent.poll() is None:
        for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split():
            try:
                if "onnxruntime" in Path(f"/proc/{pid}/maps").read_text():
                    return Path(f"/proc/{pid}")
            except OSError:  # noqa: PERF203  # it may end between the two reads
                continue
    raise AssertionError(parent.communicate())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="watches the worker through /proc")
def test_ctrl_c_is_130_and_ends_the_worker(tmp_path: Path) -> None:
    path = example.write(tmp_path)
    command = [*COMMAND, "profile", str(path), "--duration", "60s", "--no-layers"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    worker = loaded_worker(child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert not worker.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for err, quiet, shown in ((Terminal(), False, True), (Terminal(), True, False), (io.StringIO(), False, False)):
        out = io.StringIO()
        console = Console(out, err, quiet=quiet)
        console.progress("calibrating", 1, 2)
        assert ("calibrating" in err.getvalue()) is shown
        console.result({}, "done")
        assert out.getvalue() == "done\n"
    assert Console(Terminal(), Terminal()).emphasize("x") != "x"
    assert Console(Terminal(), Terminal(), as_json=True).emphasize("x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Console(Terminal(), Terminal()).emphasize("x") == "x"


def test_quiet_silences_messages_and_not_results() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err, quiet=True)
    console.note("a message")
    console.error("an error")
    console.result({"a": 1}, "text")
    assert (out.getvalue(), err.getvalue()) == ("text\n", "an error\n")


def test_tables_align_numbers_to_the_right() -> None:
    assert format_table(("name", "size"), [("a", "1"), ("long name", "100")]).splitlines() == [
        "name       size",
        "---------  ----",
        "a             1",
        "long name   100",
    ]
