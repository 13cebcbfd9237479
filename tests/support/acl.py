"""Access lists of files as the kernel keeps them in an extended attribute (posix_acl_xattr.h), without libacl."""

import struct

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"


def writable_by(user: int) -> bytes:
    """Build the list that lets one account beside the owner write, and everybody read."""
    owner, more, group, mask, others = (1, 7, -1), (2, 7, user), (4, 5, -1), (16, 7, -1), (32, 5, -1)
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in (owner, more, group, mask, others))
