"""Scripts in processes of their own, forked from an interpreter that has imported MLflow.

A new interpreter spends two seconds of a core on importing MLflow before a script's first line of
interest. What the script does after its imports is the same in a fork of an interpreter that did
nothing but import: it has its own environment, directory, files, user and end. Tests of what
happens at import, of pools and servers, and of the README start interpreters of their own.

Runs as a program too: that is the interpreter which is forked.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_DEADLINE_S = 120
_STATUS = struct.Struct("!ii")
IMPORTS = """
import mlflow, pandas, sklearn.linear_model, sklearn.model_selection
import mlflow.genai.scorers, mlflow.pyfunc, mlflow.sklearn
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
"""
_IMPORTS_OF_OURS = """
import mlflow_ws_plugin.cli, mlflow_ws_plugin.stores.registry, mlflow_ws_plugin.stores.tracking
"""


class Script:
    """A script that was started: to be waited for, or to be killed."""

    def __init__(self, answers: socket.socket, outputs: tuple[IO[bytes], IO[bytes]]) -> None:
        self._answers = answers
        self._outputs = outputs
        self.pid: int = self._answer(_DEADLINE_S)[0]

    def wait(self, deadline_s: float = _DEADLINE_S) -> subprocess.CompletedProcess[str]:
        """Its exit code and what it printed; minus the signal's number if one ended it.

        Raises:
            subprocess.TimeoutExpired: It was still running, and was killed.
        """
        try:
            code = self._answer(deadline_s)[1]
            out, err = (self._read(output) for output in self._outputs)
        except BaseException:
            self.end()
            raise
        self._close()
        return subprocess.CompletedProcess([], code, out, err)

    def end(self) -> None:
        """Kill it, unless its end was waited for."""
        if self._answers.fileno() == -1:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._close()

    def _close(self) -> None:
        for file in (self._answers, *self._outputs):
            file.close()

    def _answer(self, deadline_s: float) -> tuple[int, int]:
        ready, _, _ = select.select([self._answers], [], [], deadline_s)
        if not ready:
            raise subprocess.TimeoutExpired("the script", deadline_s)
        answer = self._answers.recv(_STATUS.size)
        assert answer, "the warm interpreter ended"
        number, code = _STATUS.unpack(answer)
        return number, code

    @staticmethod
    def _read(output: IO[bytes]) -> str:
        output.seek(0)
        return output.read().decode()


class Interpreter:
    """One that has imported MLflow; each script starts in a fork of it.

    With `site` it takes the packages of that directory; as `user` it and its scripts have no other
    rights than that user id's.
    """

    def __init__(
        self,
        python: str,
        environment: Mapping[str, str],
        *,
        site: str = "",
        user: int | None = None,
        imports: str = IMPORTS + _IMPORTS_OF_OURS,
    ) -> None:
        limits = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        program = Path(__file__).read_text(encoding="utf-8")
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as cleanup, other:
            cleanup.enter_context(mine)
            self._process = subprocess.Popen(
                [python, "-W", "ignore", "-c", program, str(other.fileno()), site, imports],
                cwd="/",
                # Threads of the linear algebra would be there at the fork.
                env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if site else None,
                **limits,
            )
            cleanup.pop_all()
        self._socket = mine

    def works(self) -> bool:
        """Whether it came up, or could not; waits for that.

        Raises:
            subprocess.TimeoutExpired: It is neither up nor gone.
        """
        ready, _, _ = select.select([self._socket], [], [], _DEADLINE_S)
        if not ready:
            self._process.kill()
            raise subprocess.TimeoutExpired("the warm interpreter", _DEADLINE_S)
        return self._socket.recv(16) == b"ready"

    def start(
        self,
        code: str | Path,
        *arguments: str,
        cwd: str | Path = "/",
        env: Mapping[str, str],
        stdin: int | None = None,
    ) -> Script:
        """Start a script, by its text or its file, with exactly the variables of `env`.

        Without the file number `stdin` there is nothing on its standard input.
        """
        request = {
            "file": str(code) if isinstance(code, Path) else None,
            "code": code if isinstance(code, str) else None,
            "arguments": arguments,
            "cwd": str(cwd),
            "env": dict(env),
        }
        outputs = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115 - of Script
        mine, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other, tempfile.TemporaryFile() as body:
            body.write(json.dumps(request).encode())
            body.seek(0)
            files = [body.fileno(), *(output.fileno() for output in outputs), other.fileno()]
            files += [] if stdin is None else [stdin]
            socket.send_fds(self._socket, [b"run"], files)
        return Script(mine, outputs)

    def run(self, code: str | Path, *arguments: str, **place: Any) -> Any:
        """Run a script to its good end; its last line of standard output, from JSON."""
        done = self.start(code, *arguments, **place).wait()
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        lines = done.stdout.splitlines()
        return json.loads(lines[-1]) if lines else None

    def at_once(
        self, code: str, arguments: Sequence[Sequence[str]], **place: Any
    ) -> list[subprocess.CompletedProcess[str]]:
        """Run a script once for each of `arguments`, all from the same line on.

        At that line it says `os.write(0, b"ready")`, and then waits by `os.read(0, 1)`.
        """
        with contextlib.ExitStack() as open_files:
            starts, scripts = [], []
            for words in arguments:
                mine, other = (open_files.enter_context(end) for end in socket.socketpair())
                starts.append(mine)
                scripts.append(self.start(code, *words, stdin=other.fileno(), **place))
                open_files.callback(scripts[-1].end)
                other.close()
            for start in starts:
                start.settimeout(_DEADLINE_S)
                assert start.recv(16) == b"ready", "a script ended before it was ready"
            for start in starts:
                start.close()
            return [script.wait() for script in scripts]

    def close(self) -> None:
        self._socket.close()
        self._process.wait(_DEADLINE_S)


# --- in the interpreter that is forked ------------------------------------------------------------


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Returns it in the new process; None when there are no more."""
    requests.send(b"ready")
    while True:
        message, files, _, _ = socket.recv_fds(requests, 16, 5)
        if not message:
            return None
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            requests.close()
            return _start(*files)
        for file in files:
            os.close(file)


def _start(body: int, out: int, err: int, answers: int, stdin: int | None = None) -> dict[str, Any]:
    """Fork once more: one process to be the script, and its parent to say how it ended."""
    script = os.fork()
    if script:
        os.write(answers, _STATUS.pack(script, 0))
        _, status = os.waitpid(script, 0)
        with contextlib.suppress(OSError):
            os.write(answers, _STATUS.pack(script, os.waitstatus_to_exitcode(status)))
        os._exit(0)
    with os.fdopen(body, "rb") as file:
        request: dict[str, Any] = json.load(file)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for number in (out, err, answers):
        os.close(number)
    if stdin is not None:
        os.dup2(stdin, 0)
        os.close(stdin)
    return request


def _become(request: dict[str, Any]) -> None:
    """Run the script as this process's main module; its end is this process's."""
    import runpy

    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    file, code = request["file"], request["code"]
    sys.argv = [file or "-c", *request["arguments"]]
    sys.path[0] = str(Path(file).parent) if file else ""
    if file:
        runpy.run_path(file, run_name="__main__")
    else:
        module = type(sys)("__main__")
        sys.modules["__main__"] = module
        exec(compile(code, "<string>", "exec"), module.__dict__)


def _main(arguments: Sequence[str]) -> None:
    import gc
    import site

    number, directory, imports = arguments
    if directory:
        site.addsitedir(directory)
    exec(imports, {})
    gc.freeze()
    with socket.socket(fileno=int(number)) as requests:
        request = _serve(requests)
    if request is not None:
        _become(request)


if __name__ == "__main__":
    _main(sys.argv[1:])
