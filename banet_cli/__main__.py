"""Runs the command line as `python -m banet_cli`."""

from banet_cli.app import main

if __name__ == "__main__":
    main()
