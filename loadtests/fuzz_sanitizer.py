"""The C loops of rANS compiled so that every access to memory and every overflow is checked.

A copy of ``wire`` is made with such a library in the place of the usual one, and a process that has it first on its
path takes it for the real one: what is checked is the code as it is. Owns the copy and what such a process needs.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

import wire.rans_native
from wire.errors import SettingError

FLAGS: Final = (
    "-g", "-O1", "-shared", "-fPIC", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)  # fmt: skip


def compiler() -> str | None:
    """Give the compiler, where there is one."""
    return shutil.which("gcc")


def sanitized(folder: Path) -> dict[str, str]:
    """Make the copy in a folder; give the environment of a process that shall use it.

    Raises:
        SettingError: there is no gcc, or it has no sanitizers.
    """
    gcc = compiler()
    if gcc is None:
        raise SettingError("there is no gcc to compile the checked C loops with", mend="install gcc")
    source = Path(wire.rans_native.__file__).parent
    copy = folder / source.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    library = copy / ("rans_loops" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so"))
    _run([gcc, *FLAGS, str(copy / "rans_loops.c"), "-o", str(library)])
    return {
        "PYTHONPATH": str(folder.resolve()),
        "LD_PRELOAD": _run([gcc, "-print-file-name=libasan.so"]),
        # Python's own allocator would hide where one of its objects ends.
        "PYTHONMALLOC": "malloc",
        # Python frees little at its end; a request for too much memory is to be an error of Python's, as it usually is.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:abort_on_error=1:handle_abort=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    }


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingError(f"{command[0]} failed: {done.stderr.strip()[-400:]}", mend="install gcc and its sanitizers")
    return done.stdout.strip()
