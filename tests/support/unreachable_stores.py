"""What puts buckets out of reach, and what is said then."""

UNREACHABLE: list[tuple[dict[str, str], str]] = [
    ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials"),
    (
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
        "no answer from the server",
    ),
]
"""Variables of the environment, and the reason that is told."""
