"""Profiles as people read them: tables, and a sentence on what is in them. Owns their columns."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cluster.profiling.group_profile import GroupProfile
from cluster.profiling.option_profile import ONNX_RUNTIME, GraphSeconds, OptionProfile


def group_table(profile: GroupProfile) -> Table:
    """Lay the groups out in rows: each alone, and all up to it as one."""
    table = _table(f"{profile.backbone}: {profile.groups} groups on {profile.machine}")
    table.add_column("up to", no_wrap=True)
    headings = ["bytes", "MACs", "alone, ms", "from the input as one, ms"]
    for heading in headings + (["backward alone, ms"] if profile.backward_s else []):
        table.add_column(heading, justify="right", no_wrap=True)
    for group, macs in enumerate(profile.macs):
        table.add_row(
            profile.boundaries[group + 1],
            f"{profile.tensor_bytes[group + 1]:,.0f}",
            f"{macs / 1e6:,.1f} M",
            _ms(profile.seconds[group][group], profile.spread_s[group][group]),
            _ms(profile.seconds[0][group], profile.spread_s[0][group]),
            *([f"{profile.backward_s[group][group] * 1e3:.2f}"] if profile.backward_s else []),
        )
    return table


def group_note(profile: GroupProfile) -> str:
    """Say what grouping comes to, which is JointDNN's own point."""
    backward = ""
    if profile.backward_s:
        alone_s = sum(profile.backward_s[group][group] for group in range(profile.groups))
        whole_s = profile.backward_s[0][-1]
        backward = (
            f" Backwards the whole takes {whole_s * 1e3:.2f} ms, {whole_s / alone_s:.2f} of the sum of its groups."
        )
    return (
        f"The whole network as one takes {profile.whole_s * 1e3:.2f} ms, its {profile.groups} groups one by one "
        f"{profile.singles_s * 1e3:.2f} ms: grouped over the sum of singles is {profile.grouped_share:.2f}.{backward} "
        f"Medians of {profile.repeats} runs for one frame (interquartile range){_clock(profile.threads)}."
    )


def option_table(profile: OptionProfile) -> Table:
    """Lay the options out in rows: coder, graph for each size of batch, and both for one frame."""
    table = _table(f"{profile.backbone}  {profile.bundle[:12]}  {profile.side}, {profile.label}")
    for heading in ("point", "codec", "rate"):
        table.add_column(heading, no_wrap=True)
    device = profile.side == "device"
    sizes = sorted({each.batch for row in profile.rows for each in row.batches})
    graphs = [f"{'head' if device else 'tail'}{'' if device else f' ×{size}'}, ms" for size in sizes]
    for heading in ("encode, ms" if device else "decode, ms", *graphs, "a frame, ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in profile.rows:
        times = {each.batch: each for each in row.batches}
        table.add_row(
            row.point, row.codec, row.rate, _ms(row.coder_s, row.coder_spread_s),
            *(_graph_ms(times.get(size)) for size in sizes),
            f"{row.seconds(row.batches[0].batch if row.batches else 1) * 1e3:.2f}",
        )  # fmt: skip
    return table


def option_note(profile: OptionProfile) -> str:
    """Say what the columns are, and what was not measured but emulated."""
    half = (
        "encode is the coder on its own, head the graph of head and encoder"
        if profile.side == "device"
        else "decode is the coder on its own, tail the graph of decoder and tail, of a whole batch"
    )
    factor = f" Every time was multiplied by {profile.factor:.3g}." if profile.emulated else ""
    return (
        f"{profile.origin}.{factor} Medians of {profile.repeats} runs (interquartile range)"
        f"{_clock(profile.threads) if profile.engine == ONNX_RUNTIME else ''}: {half}; a frame is one look's coder and "
        "the graph in its smallest batch."
    )


def _clock(threads: int) -> str:
    return ", in the thread's own processor time" if threads == 1 else ""


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _graph_ms(times: GraphSeconds | None) -> str:
    return _ms(times.seconds, times.spread_s) if times else ""


def _ms(seconds: float, spread_s: float) -> str:
    return f"{seconds * 1e3:.2f} ({spread_s * 1e3:.2f})"
