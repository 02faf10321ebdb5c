"""Which labels a selector selects: pure functions of plain values."""

from collections.abc import Mapping

from cluster.kubernetes.plain import Plain, list_at, map_at, numbered


def selects(selector: Plain, labels: Mapping[str, str | None]) -> bool:
    """Say whether a LabelSelector can select these labels; a value of None may turn out to be any."""
    return selects_all(map_at(selector, "matchLabels"), labels) and all(
        _holds(expression, labels) for _, expression in numbered(selector, "matchExpressions", path="")
    )


def selects_all(wanted: Mapping[str, object], labels: Mapping[str, str | None]) -> bool:
    """Say whether every wanted label can be there, as the selector of a Service asks."""
    return all(key in labels and labels[key] in (None, value) for key, value in wanted.items())


def _holds(expression: Plain, labels: Mapping[str, str | None]) -> bool:
    key, values = expression.get("key"), list_at(expression, "values")
    there = isinstance(key, str) and key in labels
    value = labels[key] if isinstance(key, str) and there else None
    match expression.get("operator"):
        case "In":
            return there and (value is None or value in values)
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
        case _:
            return False
