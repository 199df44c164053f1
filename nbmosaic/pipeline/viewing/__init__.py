"""The state of a viewer: layers, stretch, marks."""
