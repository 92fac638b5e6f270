"""A server of S3 on a real socket, and boto3 told to use it."""

from __future__ import annotations

import contextlib
import uuid

from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def s3_server():
    """moto's server for the time of a `with` block; its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def use(monkeypatch, url):
    """Have boto3 in this process use the server at `url`."""
    for name, value in {
        "AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


def new_bucket(url):
    """A client of boto3's, and the name of a bucket that it has just made."""
    import boto3

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key",
        aws_secret_access_key="secret",
    )  # fmt: skip
    client.create_bucket(Bucket=name)
    return client, name
