"""A picture as a PNG file."""

from pathlib import Path

from matplotlib.figure import Figure

from wire.errors import SettingError


def written(figure: Figure, path: Path, *, dpi: int) -> Path:
    """Write a figure, in a folder that is made for it, and give the path back.

    Raises:
        SettingError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi, format="png")
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error}", mend="give another folder with --out") from error
    return path
