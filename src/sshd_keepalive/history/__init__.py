"""Recorded runs compared with each other, and the notice about one. Pure."""
