"""The command line where memory holds no photos for training, so that they are read as needed."""

from banet_cli.app import main
from pipelines import train


def no_memory() -> int:
    return 0


if __name__ == "__main__":
    train.free_memory = no_memory
    main()
