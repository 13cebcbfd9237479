"""Compare recorded runs, and compose notices. Pure."""
