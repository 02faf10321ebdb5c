"""When bytes come out of a link whose script is known: for simulators, and for planners that know the future.

The same physics as the bottleneck's, as a fluid, in closed form and without a queue of items. Pure.
"""

import bisect
import math

from loadtests.link_script import LinkScript


class LinkClock:
    """Integrates the rate of a script exactly; a call costs two binary searches.

    Times are seconds since the start of the script. Past its last step the last state holds, so on a link that ends
    stalled or down the rest takes for ever (``math.inf``). Bytes that would have come out after the beginning of an
    outage were lost under way, and are sent again behind it. Jitter is left out.
    """

    def __init__(self, script: LinkScript) -> None:
        pieces = _pieces(script)
        self._times_s = [at_s for at_s, _, _ in pieces]
        self._bytes_per_s = [bytes_per_s for _, bytes_per_s, _ in pieces]
        self._delays_s = [delay_s for _, _, delay_s in pieces]
        self._carried_bytes = [0.0]
        for index in range(len(pieces) - 1):
            piece_s = self._times_s[index + 1] - self._times_s[index]
            self._carried_bytes.append(self._carried_bytes[index] + piece_s * self._bytes_per_s[index])

    def sent_s(self, size_bytes: float, at_s: float, *, free_at_s: float = -math.inf) -> float:
        """Tell when the link has sent ``size_bytes`` that are put on it at ``at_s``, and is free for what follows.

        ``free_at_s`` is when the link has sent what was queued before.
        """
        return self._send(size_bytes, max(at_s, free_at_s))[0]

    def delivered_s(self, size_bytes: float, at_s: float, *, free_at_s: float = -math.inf) -> float:
        """Tell when the last of ``size_bytes`` that are put on the link at ``at_s`` comes out of its far end."""
        sent_s, delay_s = self._send(size_bytes, max(at_s, free_at_s))
        return sent_s + delay_s

    def _send(self, size_bytes: float, begins_s: float) -> tuple[float, float]:
        """Give when the last byte leaves, and how long it is then under way."""
        if begins_s == math.inf:
            return math.inf, self._delays_s[-1]
        first = max(bisect.bisect_right(self._times_s, begins_s) - 1, 0)
        before_bytes = self._carried_bytes[first] + (begins_s - self._times_s[first]) * self._bytes_per_s[first]
        total_bytes = before_bytes + size_bytes
        last = max(bisect.bisect_left(self._carried_bytes, total_bytes) - 1, first)
        bytes_per_s = self._bytes_per_s[last]
        missing_bytes = total_bytes - self._carried_bytes[last]
        if not bytes_per_s:  # the link has come to rest for ever, or there was nothing to send
            return math.inf if missing_bytes else begins_s, self._delays_s[last]
        return max(begins_s, self._times_s[last] + missing_bytes / bytes_per_s), self._delays_s[last]


def _pieces(script: LinkScript) -> list[tuple[float, float, float]]:
    """Give times in order, each with the bytes a second that get through from then on and their delay in seconds."""
    pieces = []
    end_s = outage_s = math.inf
    for step in reversed(script.steps):
        state = step.state
        if state.rate_mbps is None:
            outage_s = step.at_s
        # What leaves later than this is still under way when the next outage begins.
        safe_until_s = outage_s - state.delay_s
        if safe_until_s < end_s:
            pieces.append((max(step.at_s, safe_until_s), 0.0, state.delay_s))
        if safe_until_s > step.at_s:
            pieces.append((step.at_s, state.bytes_per_s, state.delay_s))
        end_s = step.at_s
    return pieces[::-1]
