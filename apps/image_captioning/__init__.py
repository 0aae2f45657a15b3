"""Photograph in, caption out."""
