"""The ids that travel between the two sides, each a type of its own, and the limits they have on the wire.

Owns the id types; imports only the markers of ``wire.records``.
"""

from typing import Annotated, NewType

from wire.records import Hex, Length, Range

DeviceId = NewType("DeviceId", str)
PointName = NewType("PointName", str)
BundleDigest = NewType("BundleDigest", str)
OptionId = NewType("OptionId", int)

OPTION_ID_BITS = 14
MAX_OPTION_ID = 2**OPTION_ID_BITS - 1

DEVICE_HEADER = "Isthmus-Device"
"""Names the device, percent-encoded, in requests that show a token, so that another device's is refused at once."""

# The same types as fields of a record.
DeviceField = Annotated[DeviceId, Length(64)]
PointField = Annotated[PointName, Length(128)]
DigestField = Annotated[BundleDigest, Hex(64)]
OptionField = Annotated[OptionId, Range(0, MAX_OPTION_ID)]
