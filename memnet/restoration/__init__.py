"""Restore arrays of any size, and files."""
