"""The applications: one folder each, found by name."""
