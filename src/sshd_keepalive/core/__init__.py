"""The pure half: bytes and values in, values and shell text out. Nothing here reads a clock, a file or a socket."""
