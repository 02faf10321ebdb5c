"""From a network to its ``torch.fx`` graph, or to the line in its author's code that stands in the way.

Owns the tracing and its errors. Knows nothing of cuts.
"""

from typing import Final

from torch import fx, nn

from cluster.backbones.user_code import place_in_user_code
from wire.errors import BackboneError

HOW_TO_TRACE: Final = (
    "torch.fx traces the network without a frame, so no branch, loop, assertion, len(), int() or NumPy there may need "
    "a tensor's values or shape: decide it in __init__, use tensor functions (torch.where, x.flatten(1)), or move it "
    "into a function at the top of its module and mark that with @torch.fx.wrap"
)
WHAT_TO_TRACE: Final = (
    "torch.fx traces plain modules: give the network itself, not what torch.compile, torch.jit or DataParallel made of "
    "it"
)


def trace(backbone: nn.Module) -> fx.GraphModule:
    """Trace a network that maps one tensor to one tensor.

    Raises:
        BackboneError: it cannot be traced, and where in its author's code; or it has several inputs or outputs, or
            steps that change a tensor unseen.
    """
    try:
        traced = fx.symbolic_trace(backbone)
    except Exception as error:  # tracing runs the user's code, which may raise anything
        place = place_in_user_code(error)
        raise BackboneError(
            f"the backbone {type(backbone).__name__} cannot be traced: {error}" + (f", at {place}" if place else ""),
            mend=HOW_TO_TRACE if place else WHAT_TO_TRACE,
        ) from error
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    (output,) = [node for node in traced.graph.nodes if node.op == "output"]
    if len(inputs) != 1 or not isinstance(output.args[0], fx.Node):
        named = f" ({', '.join(node.name for node in inputs)})" if inputs else ""
        raise BackboneError(
            f"the backbone takes {len(inputs)} inputs{named} and gives {output.args[0]!r}",
            mend="wrap it in a module that maps one tensor to one tensor",
        )
    _refuse_side_effects(traced)
    return traced


def _refuse_side_effects(traced: fx.GraphModule) -> None:
    """Refuse what changes a tensor in place without handing it on: no edge of the graph shows that others read it.

    Raises:
        BackboneError: there is such a step.
    """
    needed: set[fx.Node] = set()
    for node in reversed(traced.graph.nodes):
        if node.op == "output" or any(user in needed for user in node.users):
            needed.add(node)
        elif _is_in_place(traced, node):
            raise BackboneError(
                f"the backbone changes a tensor in place at {node.name} and throws the result away",
                mend="use the result, as in x = self.relu(x), so that a cut can carry it",
            )


def _is_in_place(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return getattr(traced.get_submodule(str(node.target)), "inplace", False)
    if not node.op.startswith("call_") or getattr(node.target, "__module__", "") == "_operator":
        return False  # or_ and and_ are called so because of Python's keywords
    name = str(getattr(node.target, "__name__", node.target))
    return name.endswith("_") or node.kwargs.get("inplace") is True
