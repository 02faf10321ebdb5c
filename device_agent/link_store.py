"""What the last run knew of the link to a cluster, for a cold start of the next one; a file in the cache."""

import json
import zlib
from pathlib import Path

import structlog

from device_agent.addresses import ServerAddress
from device_agent.link_view import LinkView

log = structlog.get_logger()


class LinkStore:
    """Views of links under ``<cache>/links``, by the cluster's address."""

    def __init__(self, folder: Path, server: ServerAddress) -> None:
        # An address has characters that a file's name may not have.
        self._path = folder / "links" / f"{zlib.crc32(server.http_base.encode()):08x}.json"

    def load(self) -> LinkView | None:
        """Give what was saved last; None if there is nothing that can be read."""
        try:
            return LinkView.from_plain(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def save(self, view: LinkView) -> None:
        """Keep a view; a cache that cannot be written costs only that the next run begins with a guess."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(view.as_plain()) + "\n", encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            log.warning("link.not_saved", path=str(self._path), error=str(error))
