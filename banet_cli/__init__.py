"""The terminal: options, tables, progress, logging and the map from errors to exit codes."""
