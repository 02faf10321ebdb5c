"""The tail as a codec's decoder knows it: batch norms fused, and the weights that were adapted to the decoder.

Owns the fitting of these weights. The backbone's own modules are never touched.
"""

from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from cluster.codecs.codec import Codec
from wire.errors import CheckpointError


def adapted_tail(codec: Codec, tail: fx.GraphModule) -> nn.Module:
    """Give a copy of ``tail`` with its batch norms fused, as training has it, and with the codec's ``tail_delta``.

    The names in ``tail_delta`` are those of the fused tail's own state.

    Raises:
        CheckpointError: there is no such weight in the fused tail, or it has another shape; all of them are named.
    """
    fused: nn.Module = fuse(tail)
    delta = codec.tail_delta or {}
    state = fused.state_dict()
    unknown = [name for name in delta if name not in state]
    misshapen = [
        f"{name} is {tuple(tensor.shape)} instead of {tuple(state[name].shape)}"
        for name, tensor in delta.items()
        if name in state and tensor.shape != state[name].shape
    ]
    if unknown or misshapen:
        faults = [*(f"{name} is not in it" for name in unknown), *misshapen]
        raise CheckpointError(
            f"the adapted tail of {codec.name} {codec.setting} does not fit: {'; '.join(faults)}",
            mend="train the codec again, behind this backbone",
        )
    fused.load_state_dict(delta, strict=False)
    return fused
