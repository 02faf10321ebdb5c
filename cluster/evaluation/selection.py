"""Which options of a bundle someone means: texts such as ``blocks.4``, ``isthmus`` or ``blocks.4/jalad/c4``.

Owns the texts. Knows nothing of bundles.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from wire.errors import SettingError


class Selection:
    """Options by point, codec and rate; without a text, all of them.

    A text without a slash is a point or a codec; one with slashes is POINT/CODEC or POINT/CODEC/RATE. ``*`` stands for
    anything.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        """Read the texts.

        Raises:
            SettingError: one has more than three parts.
        """
        for text in texts:
            if text.count("/") > 2 or not text:
                raise SettingError(f"{text!r} names no options", mend="write POINT, CODEC, POINT/CODEC or P/C/RATE")
        self._texts = tuple(texts)

    def takes(self, point: str, codec: str, rate: str) -> bool:
        """Tell whether an option is meant."""
        return not self._texts or any(_matches(text, point, codec, rate) for text in self._texts)

    def check(self, options: Iterable[tuple[str, str, str]]) -> None:
        """Refuse a text that means none of the options (point, codec, rate).

        Raises:
            SettingError: there is such a text.
        """
        there = list(options)
        for text in self._texts:
            if not any(_matches(text, *option) for option in there):
                pairs = dict.fromkeys(f"{point}/{codec}" for point, codec, _ in there)
                raise SettingError(f"no option is meant by {text!r}", mend=f"there are {', '.join(pairs)}")


def _matches(text: str, point: str, codec: str, rate: str) -> bool:
    if "/" not in text:
        return fnmatchcase(point, text) or fnmatchcase(codec, text)
    return all(fnmatchcase(name, part) for name, part in zip((point, codec, rate), text.split("/"), strict=False))
