"""A terminal that tests can look at: a command runs in it, and its screen is kept."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pyte

LINES = 50
GIVE_UP_SECONDS = 120


class Terminal:
    """`banet` with its standard error on a terminal.

    Args:
        arguments: Of `banet`.
        columns: Of the terminal.

    Attributes:
        screens: Every state of the screen, as lines without trailing blanks.
    """

    def __init__(self, *arguments: str, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        self._screen = pyte.Screen(columns, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.screens: list[list[str]] = []
        self.bytes_written = 0
        self.resize(columns)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "banet_cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        os.close(slave)

    def resize(self, columns: int) -> None:
        """Give the terminal another width."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        self._screen.resize(LINES, columns)

    def wait_until(self, is_reached: Callable[[list[str]], object]) -> None:
        """Follow the screen until it shows something."""
        self._follow(is_reached)
        assert self.screens, "nothing was shown"
        assert is_reached(self.screens[-1]), "\n".join(self.screens[-1])

    def wait(self) -> int:
        """Follow the screen to the end, and return the exit code."""
        self._follow(lambda _screen: False)
        os.close(self._master)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait()

    def _follow(self, is_reached: Callable[[list[str]], object]) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            if not select.select([self._master], [], [], 1)[0]:
                continue
            try:
                written = os.read(self._master, 65536)
            except OSError:  # how Linux says that nobody has the other end any more
                return
            if not written:
                return
            self._stream.feed(written)
            self.screens.append([line.rstrip() for line in self._screen.display])
            if is_reached(self.screens[-1]):
                return
        self.process.kill()
