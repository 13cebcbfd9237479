"""The commands, one file each: `COMMAND.py` defines `command`, and is imported when it is called."""
