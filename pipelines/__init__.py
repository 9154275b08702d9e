"""Disk, workers and devices: one public verb per file, usable from Python without the CLI."""
