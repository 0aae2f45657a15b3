"""The commands, derived from the contract of an application."""
