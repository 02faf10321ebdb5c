"""Programs of Debian that a test needs, from the PATH, or fetched into the build folder without being root."""

import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "debian"
TIMEOUT_S = 120


def debian_binary(package: str, program: str) -> Path:
    """Find a program, or fetch its package; raises RuntimeError with what to do if neither goes."""
    if found := shutil.which(program):
        return Path(found)
    kept = FOLDER / package / "usr" / "bin" / program
    if not kept.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
            unpacked = _fetch(package, Path(scratch))
            shutil.rmtree(FOLDER / package, ignore_errors=True)
            unpacked.rename(FOLDER / package)
    return kept


def _fetch(package: str, scratch: Path) -> Path:
    if shutil.which("apt-get") is None:
        raise RuntimeError(f"this test runs the real {package}: install it, so that it is on the PATH")
    if not _apt(scratch, "download", package):
        # A machine whose lists were never read, or were cleaned away: lists of our own need no root.
        state = scratch / "state"
        (state / "lists" / "partial").mkdir(parents=True)
        own = [f"Dir::State::lists={state / 'lists'}", f"Dir::Cache={state}", "APT::Sandbox::User=root"]
        words = [word for option in own for word in ("-o", option)]
        if not (_apt(scratch, *words, "update") and _apt(scratch, *words, "download", package)):
            raise RuntimeError(f"apt-get cannot download {package}: install it, so that it is on the PATH")
    (archive,) = scratch.glob(f"{package}_*.deb")
    unpacked = scratch / "unpacked"
    subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True, timeout=TIMEOUT_S)
    return unpacked


def _apt(folder: Path, *words: str) -> bool:
    command = ["apt-get", "--quiet", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=TIMEOUT_S).returncode == 0
