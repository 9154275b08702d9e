"""A server of S3 in a process of its own, on this machine."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server without buckets during a `with` block, and yield its address."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        _, port = process.stdout.readline().split()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.communicate()
