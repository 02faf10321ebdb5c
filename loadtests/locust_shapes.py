"""Locust's load shapes, of ``load_shapes``. Imported in Locust's own processes only, since Locust replaces sockets."""

from typing import Final

from locust import LoadTestShape

from loadtests.load_shapes import Shape, ShapeName

SPAWN_A_SECOND: Final = 20.0


def shape_class(name: ShapeName, *, agents: int, seconds: float) -> type[LoadTestShape]:
    """Make the class that Locust asks once a second how many users there shall be."""
    shape = Shape(name, agents, seconds)

    class AgentShape(LoadTestShape):
        """One shape, by its settings."""

        def tick(self) -> tuple[int, float] | None:
            """Give the users and how many come in a second; None ends the run."""
            users = shape.agents_at(self.get_run_time())  # type: ignore[no-untyped-call]  # Locust's own
            return None if users is None else (users, SPAWN_A_SECOND)

    return AgentShape
