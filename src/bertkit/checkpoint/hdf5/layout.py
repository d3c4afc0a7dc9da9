"""The structure of an HDF5 file: the records that are read.

A file is a tree of groups whose leaves are datasets (tensors). All links are addresses: bytes from the start of the file.

    superblock ──> object header of the group "/"
                     message SYMBOL_TABLE ──┬──> local heap HEAP: the names of the members, one after the other
                     message ATTRIBUTE ...  └──> B-tree TREE ──> (TREE ──>) SNOD: up to 8 members, sorted by name
                                                                              (offset of the name in the heap,
                                                                               address of the member's object header)

    object header of a dataset
        message DATASPACE    the shape
        message DATATYPE     the dtype
        message LAYOUT ────> the numbers, in C order, in one piece ("contiguous")

An object header is a list of messages, each with its type and size. A message of type CONTINUATION has the address of a
block of further messages. An attribute is a message too: a name, a type, a shape and the value (64 KB at most).

Keras writes such files, and so does h5py by default. `h5py.File(..., libver="latest")` writes object headers of another
form (OHDR) and the members of a small group as messages of type LINK, which are read as well. "Dense" groups of more
than eight members, and chunked or compressed datasets, are not supported.
All numbers are little-endian. Fields that are not read are `x` in the formats below.

The format is specified in the HDF Group's "HDF5 File Format Specification".
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

SIGNATURE = b"\x89HDF\r\n\x1a\n"
NOWHERE = 2**64 - 1
"""The address of data that was never stored."""

SUPERBLOCK_START = Struct("<8sB")
"""signature, version"""

SUPERBLOCK_0 = Struct("<8s5xBBxHH4xQQQQ8xQ24x")
"""signature, bytes of an address, bytes of a length, half of the largest number of members of a SNOD and of children of a
TREE, the address that all others count from, the free space, the end of the file, the driver, the header of the root"""

SUPERBLOCK_2 = Struct("<9xBBxQ8xQQ")
"""bytes of an address, bytes of a length, the address that all others count from, the end of the file, the header of the root"""

HEADER_1 = Struct("<BxHII4x")
"""version 1, number of messages, number of links to the object, bytes of the messages that follow"""

MESSAGE_1 = Struct("<HHB3x")
"""type, bytes of the content that follows, flags"""

HEADER_2 = Struct("<4sBB")
"""OHDR, version 2, flags (the fields before the messages: see `headers`)"""

MESSAGE_2 = Struct("<BHB")
MESSAGE_2_NUMBERED = Struct("<BHB2x")
"""type, bytes of the content that follows, flags"""

LINK_INFO = Struct("<BB")
"""version 0, flags (1: a number of 8 bytes follows); then the address of the heap of a dense group, or NOWHERE"""

LINK = Struct("<BB")
"""version 1, flags (the fields before the name: see `groups`)"""

BLOCK = Struct("<QQ")
"""address, bytes: of a continuation, and of a contiguous dataset"""

SYMBOL_TABLE = Struct("<QQ")
"""address of the group's B-tree, address of its heap"""

HEAP = Struct("<4sB3xQQQ")
"""HEAP, version 0, bytes of the names, first free block, address of the names"""

TREE = Struct("<4sBBHQQ")
"""TREE, node type (0: group), level (0: the children are SNODs), number of children, left and right neighbour.
Then its children, and a key after the last."""

CHILD = Struct("<QQ")
"""key, address of a TREE or SNOD. The key is the offset of the last name before the child, or of the empty name."""

SNOD = Struct("<4sBxH")
"""SNOD, version 1, number of members; then the members"""

MEMBER = Struct("<QQI20x")
"""offset of the name in the heap, address of the object header, what is cached (2: this is a soft link)"""

DATASPACE_1 = Struct("<BBB5x")
"""version 1, number of dimensions, flags; then each dimension as ADDRESS"""

DATASPACE_2 = Struct("<BBBB")
"""version 2, number of dimensions, flags, kind (2: no elements at all); then each dimension"""

LAYOUT = Struct("<BB")
"""version 3 or 4, class of the storage"""

ADDRESS = Struct("<Q")
COMPACT_SIZE = Struct("<H")
BYTE = Struct("<B")

SOFT_LINK_CACHED = 2
NO_ELEMENTS = 2
SHARED_MESSAGE = 0b10
"""A flag of a message: its content is stored elsewhere."""


class Message(IntEnum):
    """The types of message that are read."""

    DATASPACE = 0x01
    LINK_INFO = 0x02
    DATATYPE = 0x03
    LINK = 0x06
    EXTERNAL_FILES = 0x07
    LAYOUT = 0x08
    CONTINUATION = 0x10
    SYMBOL_TABLE = 0x11


class Storage(IntEnum):
    """The classes of storage of a dataset: in its header, in one piece, in chunks, in other files."""

    COMPACT = 0
    CONTIGUOUS = 1
    CHUNKED = 2
    VIRTUAL = 3


class Link(IntEnum):
    """The types of link in a message of type LINK."""

    HARD = 0
    SOFT = 1
    EXTERNAL = 64
