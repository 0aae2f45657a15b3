"""Recurrent layers and the builders that compose them."""
