"""The one configuration of a cluster: what `isthmus up` and `serve-config` are told, from a YAML file or options.

Each group of settings is a record whose annotations state its limits; whatever does not fit is refused with its path in
the file. Owns the records, their defaults and their reading. Imports no Ray.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

import yaml  # type: ignore[import-untyped]  # it ships no stubs

from serve_apps.observe_config import ObserveConfig
from serve_apps.peer_limits import PeerLimits
from serve_apps.point_config import PointConfig
from serve_apps.security_config import SecurityConfig
from serve_apps.tail_config import TailConfig
from wire.errors import SettingError, WireError
from wire.records import Length, Range, from_plain, to_plain

MAX_CONFIG_BYTES: Final = 2**20

TOLD_LATER: Final = "told later"

PathText = Annotated[str, Length(4096, least=1)]
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the cluster listens."""

    host: Annotated[str, Length(253)] = "127.0.0.1"
    port: Annotated[int, Range(1, 65535)] = 8765


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """Everything that is decided before a cluster starts."""

    bundle: PathText
    """The bundle's folder; every node of the cluster has to see it there."""
    also: Annotated[tuple[PathText, ...], Length(8)] = ()
    """Older bundles that are served beside it until every agent has moved to the new one."""
    only: Annotated[tuple[str, ...], Length(1000)] = ()
    """Serve only these points; all of the bundle's when empty."""
    listen: Listen = field(default_factory=Listen)
    security: SecurityConfig = field(default_factory=SecurityConfig)
    limits: PeerLimits = field(default_factory=PeerLimits)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    """Of each device at each replica."""
    tail: TailConfig = field(default_factory=TailConfig)
    every_point: PointConfig = field(default_factory=PointConfig)
    """What holds for each point that ``points`` does not set otherwise."""
    points: Mapping[str, PointConfig] = field(default_factory=dict)

    def point(self, name: str) -> PointConfig:
        """Give the settings of one point."""
        return self.points.get(name, self.every_point)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of the bundles, the newest first."""
        return (Path(self.bundle), *map(Path, self.also))

    def with_options(self, **options: Any) -> Self:
        """Give a copy in which options of the command line override the file; None leaves the file's value.

        An option is named by its group and field, as in ``listen_port``, or by the field alone where it has no group.
        """
        given = {name: value for name, value in options.items() if value is not None}
        groups: dict[str, dict[str, Any]] = {}
        for name in list(given):
            group, _, key = name.partition("_")
            if group in GROUPS and key:
                groups.setdefault(group, {})[key] = given.pop(name)
        changed = {group: replace(getattr(self, group), **keys) for group, keys in groups.items()}
        return replace(self, **given, **changed)


GROUPS: Final[dict[str, type]] = {
    "listen": Listen,
    "security": SecurityConfig,
    "limits": PeerLimits,
    "observe": ObserveConfig,
    "tail": TailConfig,
    "every_point": PointConfig,
}
"""The groups of the file by their keys; ``points`` is a group of such groups."""
_ALONE: Final = ("bundle", "also", "only")


def load_config(path: Path) -> ClusterConfig:
    """Read a configuration file; paths in it are relative to its folder.

    Raises:
        SettingError: it cannot be read, is not YAML, or holds what makes no sense; the error names the key.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        plain = yaml.safe_load(data) if len(data) <= MAX_CONFIG_BYTES else None
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}", mend="give --config a file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{path} is not YAML: {error}", mend="mend the file") from error
    if not isinstance(plain, dict):
        raise SettingError(f"{path} holds no settings", mend="begin with a line `bundle: FOLDER`")
    config, folder = config_from_plain(plain, where=path.name), path.absolute().parent
    return replace(
        config,
        bundle=str(folder / config.bundle),
        also=tuple(str(folder / older) for older in config.also),
        security=config.security.beside(folder),
        observe=config.observe.beside(folder),
        tail=config.tail.beside(folder),
    )


def config_from_plain(plain: Mapping[Any, Any], *, where: str = "config") -> ClusterConfig:
    """Build a configuration from plain values; what is left out has its default.

    Raises:
        SettingError: a key is unknown, or a value does not fit; the error names its path.
    """
    for key in plain:
        if key not in (*_ALONE, *GROUPS, "points"):
            known = ", ".join((*_ALONE, *GROUPS, "points"))
            raise SettingError(f"{where} has an unknown key {str(key)[:64]!r}", mend=f"one of: {known}")
    alone = _checked(_Alone, {"bundle": "", "also": [], "only": [], **_only(plain, _ALONE)}, where)
    groups = {name: _filled(cls, cls(), plain.get(name), f"{where}.{name}") for name, cls in GROUPS.items()}
    every: PointConfig = groups["every_point"]
    every.check(f"{where}.every_point")
    groups["tail"].check(f"{where}.tail")
    points = {}
    for name, own in _map(plain.get("points"), f"{where}.points").items():
        points[str(name)] = _filled(PointConfig, every, own, f"{where}.points.{name}")
        points[str(name)].check(f"{where}.points.{name}")
    if not alone.bundle:
        raise SettingError(f"{where}.bundle is missing", mend="name the bundle's folder")
    return ClusterConfig(bundle=alone.bundle, also=alone.also, only=alone.only, points=points, **groups)


def point_from_plain(plain: Mapping[Any, Any]) -> PointConfig:
    """Build one point's settings from plain values; raises SettingError as ``config_from_plain`` does."""
    return _filled(PointConfig, PointConfig(), dict(plain), "point")


def config_to_plain(config: ClusterConfig) -> dict[str, Any]:
    """Turn a configuration into what ``config_from_plain`` reads, with nothing left out."""
    plain = {name: to_plain(getattr(config, name)) for name in GROUPS}
    points = {name: to_plain(point) for name, point in config.points.items()}
    alone = {"bundle": config.bundle, "also": list(config.also), "only": list(config.only)}
    return {**alone, **plain, "points": points}


def without_bundles(config: ClusterConfig) -> dict[str, Any]:
    """Turn into what replicas are made with: they are told of bundles while they run, and start anew for all else."""
    # Every node reads the paths, from wherever its processes run.
    here = Path.cwd()
    security, observe, tail = config.security.beside(here), config.observe.beside(here), config.tail.beside(here)
    return config_to_plain(replace(config, bundle=TOLD_LATER, also=(), security=security, observe=observe, tail=tail))


@dataclass(frozen=True, slots=True)
class _Alone:
    """The keys that stand in no group."""

    bundle: Annotated[str, Length(4096)]
    also: Annotated[tuple[PathText, ...], Length(8)]
    only: Annotated[tuple[str, ...], Length(1000)]


def _filled(cls: type[Group], defaults: Group, given: object, where: str) -> Group:
    return _checked(cls, {**to_plain(defaults), **_map(given, where)}, where)


def _checked(cls: type[Group], plain: dict[str, Any], where: str) -> Group:
    try:
        return from_plain(cls, plain, where)
    except WireError as error:
        raise SettingError(error.message, mend="mend it in the configuration") from error


def _map(value: object, where: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingError(f"{where} must be a map, not {type(value).__name__}", mend="mend it in the configuration")
    return value


def _only(plain: Mapping[Any, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: plain[name] for name in names if plain.get(name) is not None}
