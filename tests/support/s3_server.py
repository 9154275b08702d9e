"""A server of S3 in a process of its own on this machine, and what tests do with its buckets."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "none",
    "AWS_SHARED_CREDENTIALS_FILE": "none",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Credentials that the server takes, and nothing from the files of whoever runs the tests."""


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


class Bucket:
    """A bucket as its owner sees it, through boto3 and without our code."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        client.create_bucket(Bucket=name)

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def changed(self, prefix: str) -> dict[str, Any]:
        """When each object was written last."""
        found = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return {entry["Key"]: entry["LastModified"] for entry in found["Contents"]}

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy a folder, and return the URL of the copy."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return self.url(prefix)

    def files(self, prefix: str) -> dict[str, bytes]:
        """All objects below a prefix by their names relative to it."""
        return {key.removeprefix(f"{prefix}/"): self.get(key) for key in self.keys(f"{prefix}/")}

    def deny(self, action: str, key: str) -> None:
        """Let nobody do something with some objects from now on."""
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": f"arn:aws:s3:::{self.name}/{key}",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        self._client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))
