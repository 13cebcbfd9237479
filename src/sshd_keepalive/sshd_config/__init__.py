"""What sshd makes of its files: parsed, resolved and explained, without reading a disk."""
