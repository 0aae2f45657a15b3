"""Exported models behind a server: speed, memory, and the limit in process."""
