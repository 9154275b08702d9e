"""Disk, workers and devices: one public verb per file, usable from Python without the CLI."""

__version__ = "0.1.0"
