"""What a container sees of this machine: Python, the project and the system's programs, all read-only, and its volumes.

It stands for the image: the same programs are found by the same names, and nothing else of the machine is there.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
SYSTEM: Final = (
    *(f"/usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "local", "share/ca-certificates")),
    *(f"/etc/{name}" for name in ("alternatives", "ssl")),
)
LINKED: Final = ("/bin", "/sbin", "/lib", "/lib64")
PATH: Final = f"/image/bin:{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
PASSWD: Final = "isthmus:x:10001:10001::/tmp:/bin/bash\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A folder or file of this machine at a path of the container's."""

    folder: Path
    at: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root of a container; ``hosts`` is the file that it has as ``/etc/hosts``, which may change while it runs."""

    mounts: tuple[Mount, ...]
    hosts: Path
    user: int
    group: int
    read_only: bool
    drops_all: bool
    """Whether no capability is kept."""

    def script(self, at: Path, command: list[str], *, directory: str) -> str:
        """Give the shell script that makes the root there and becomes the command; for a mount namespace of its own."""
        root = str(at)
        lines = ["set -eu", f"mount -t tmpfs -o mode=0755 none {quote(root)}", f"cd {quote(root)}"]
        for link in LINKED:
            path = Path(link)
            lines += [f"ln -s {quote(str(path.readlink()))} .{link}"] if path.is_symlink() else _bound(link, link)
        lines += ["mkdir -p etc proc dev tmp", "mount --rbind /dev dev", "mount -t proc proc proc"]
        lines += [f"cp {path} etc/" for path in ("/etc/ld.so.cache", "/etc/nsswitch.conf") if _is_there(path)]
        lines += [f"printf %s {quote(PASSWD)} > etc/passwd", "touch etc/hosts"]
        lines.append(f"mount --bind {quote(str(self.hosts))} etc/hosts")
        own = {*filter(_is_there, SYSTEM), str(PROJECT), sys.prefix, sys.base_prefix}
        image = [Mount(folder=Path(folder), at=folder, read_only=True) for folder in own]
        # Some lie within others: the project may well be somewhere below /tmp, which is a volume.
        for mount in sorted([*image, *self.mounts], key=lambda mount: mount.at):
            lines += _bound(str(mount.folder), mount.at, read_only=mount.read_only)
        if self.read_only:
            lines.append("mount -o remount,ro .")
        # A change of the user forgets what unshare said of our end, so it is said once more.
        user = [f"--reuid={self.user}", f"--regid={self.group}", "--clear-groups", "--pdeathsig=KILL"]
        words = [_program("chroot"), root, _program("setpriv"), *user]
        if self.drops_all:
            words += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        started = ["sh", "-c", f'cd {quote(directory)} && exec "$@"', "sh", *command]
        lines.append(f"exec {' '.join(map(quote, [*words, *started]))}")
        return "\n".join(lines)


def _bound(folder: str, at: str, *, read_only: bool = True) -> list[str]:
    inside = quote(f".{at}")
    parent = quote(f".{Path(at).parent}")
    made = f"mkdir -p {parent} && touch {inside}" if Path(folder).is_file() else f"mkdir -p {inside}"
    lines = [made, f"mount --rbind {quote(folder)} {inside}"]
    return [*lines, f"mount -o remount,bind,ro {inside}"] if read_only else lines


def _program(name: str) -> str:
    """Give the whole path of a program that the container's own PATH may not lead to."""
    return shutil.which(name) or name


def _is_there(path: str) -> bool:
    return Path(path).exists()
