"""The log of a process in which agents run: one line an event, ``noun.verb`` with fields, as text or as JSON.

Owns where lines go. Until a process says so, structlog's own default writes all of them to standard output, where the
answers are: whoever runs an agent, or a part of one, calls this first.
"""

import sys

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from device_agent.settings import log_format


def log_to_stderr(level: int, **ids: str) -> None:
    """Log to standard error, with the ids in every line, whichever thread it comes from."""

    def add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, **ids}

    as_json = log_format() == "json"
    shape: list[Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            add_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
