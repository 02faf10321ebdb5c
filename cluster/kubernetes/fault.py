"""One thing that is wrong with a rendering, as it is told to people and to programs."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and where."""

    subject: str
    """The object's kind and name, as in ``Deployment/gateway``."""
    path: str
    """The place in it, as in ``spec.template.spec.containers[0].image``; empty for the whole object."""
    sentence: str
    overlay: str = ""
    """The overlay whose rendering it is; the checks do not know it, and whoever calls them fills it in."""

    def as_plain(self) -> dict[str, str]:
        """Give it as JSON."""
        plain = asdict(self)
        return {key: plain[key] for key in ("overlay", "subject", "path", "sentence")}
