"""The tab of Locust's web page that shows what each cut did. Owns what is shown; the counts are ``load_tally``'s."""

import json
from collections.abc import Callable
from typing import Final

from flask import Response, request
from locust.env import Environment

from loadtests.load_tally import LoadTally

KEY: Final = "isthmus-cuts"
TITLE: Final = "Cuts"
COLUMNS: Final = (
    ("name", "Answered by (point/rate)"), ("share", "Share of frames"), ("frames", "# Frames"),
    ("bytesAFrame", "Bytes a frame"), ("missed", "# Deadlines missed"), ("byDevice", "# Answered by the device"),
    ("fallbacks", "Why not the cluster"),
)  # fmt: skip


def add_page(environment: Environment, tally: Callable[[], LoadTally]) -> None:
    """Add the tab to Locust's own page, which asks for its rows with those of its statistics."""
    page = environment.web_ui
    if page is None or page.app is None:
        return
    page.template_args["extended_tabs"] = [{"title": TITLE, "key": KEY}]
    page.template_args["extended_tables"] = [
        {"key": KEY, "structure": [{"key": key, "title": title} for key, title in COLUMNS]}
    ]

    @page.app.after_request
    def with_cuts(response: Response) -> Response:
        """Put our rows beside Locust's."""
        if request.path == "/stats/requests" and response.is_json:
            plain = dict(response.get_json())
            plain["extended_stats"] = [{"key": KEY, "data": tally().rows()}]
            response.set_data(json.dumps(plain))
        return response
