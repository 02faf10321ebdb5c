"""What ``kubectl kustomize`` makes of a folder. Owns that one call; nothing is asked of any cluster."""

import subprocess
from pathlib import Path
from typing import Final

import yaml  # type: ignore[import-untyped]  # it ships no stubs

from cluster.kubernetes.plain import Plain
from wire.errors import SettingError

TIMEOUT_S: Final = 60.0


def render_folder(folder: Path) -> list[Plain]:
    """Render a folder that has a ``kustomization.yaml`` to its objects, in kustomize's order.

    Raises:
        SettingError: kubectl is missing, refuses the folder or takes too long, or an object has no kind.
    """
    command = ["kubectl", "kustomize", str(folder)]
    again = f"see what `{' '.join(command)}` says"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise SettingError("kubectl is not on the PATH", mend="install kubectl 1.30 or newer") from error
    except subprocess.TimeoutExpired as error:
        raise SettingError(f"kubectl has not rendered {folder} within {TIMEOUT_S:.0f} s", mend=again) from error
    if done.returncode != 0:
        raise SettingError(f"kubectl does not render {folder}: {done.stderr.strip()}", mend=again)
    objects = [plain for plain in yaml.safe_load_all(done.stdout) if plain is not None]
    for plain in objects:
        if not isinstance(plain, dict) or "kind" not in plain:
            raise SettingError(f"{folder} renders to something without a kind", mend=again)
    return objects
