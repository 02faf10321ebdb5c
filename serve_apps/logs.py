"""The logs of a cluster's processes: one line an event, ``noun.verb`` with fields, as text or as JSON.

Owns where lines go and what is in each of them: besides its own fields, the device of the task that writes it, and
point and replica of its process. Lines of ``logging`` below the name ``isthmus`` come the same way. Until a process
configures them, lines go where those of ``logging`` go: warnings to standard error, and no others.
"""

import logging
import sys
from typing import Final

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from serve_apps.observe_config import ObserveConfig

ROOT: Final = "isthmus"
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso"),
)


def get_logger(name: str) -> BoundLogger:
    """Give the logger of a part; the name begins with ``isthmus.``, and its level is that of ``logging``."""
    lazy = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, *_SHARED, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=BoundLogger,
    )
    # Bound at once, or every line would be.
    logger: BoundLogger = lazy.bind()
    return logger


def configure_logs(config: ObserveConfig, **ids: str) -> None:
    """Write the log of this process to its standard error, with ``ids`` in every line."""

    def add_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, **ids}

    shape: list[Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if config.log == "json"
        else [structlog.dev.ConsoleRenderer(colors=False)]
    )
    # Not sys.stderr: Serve puts another one there, which would make a line of its own log of each of ours.
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[ProcessorFormatter.remove_processors_meta, add_ids, *shape],
        )
    )
    root = logging.getLogger(ROOT)
    root.handlers, root.propagate = [handler], False
    root.setLevel(LEVELS[config.level])
    # A line that cannot be written, since the disk is full, is none. Python would complain of it on standard error,
    # which Serve makes a line of its own log, which cannot be written either, and so on until the stack is at its end:
    # and the work is broken off that had something to say.
    logging.raiseExceptions = False
