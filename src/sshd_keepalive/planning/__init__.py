"""From a policy to findings and proved edits. Pure."""
