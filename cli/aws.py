"""`data-hist aws`: the embedded Athena, Glue and S3 of a data directory in AWS's own protocols, for AWS clients."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.failure import Failure
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.output import say

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def aws(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8081,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    s3_endpoint: Annotated[
        str | None, typer.Option("--s3-endpoint", help="URL of an S3-compatible store that holds the objects instead.")
    ] = None,
    glue_endpoint: Annotated[
        str | None, typer.Option("--glue-endpoint", help="URL of a Glue catalogue to use instead.")
    ] = None,
    is_open: Annotated[
        bool, typer.Option("--open", help="Let other machines in; nobody is asked who they are.")
    ] = False,
) -> int:
    """Serve Athena, Glue and S3 to AWS clients: `AWS_ENDPOINT_URL=http://127.0.0.1:8081 aws athena ...`.

    Any credentials do, signatures are not checked; so only this machine is let in, unless `--open` is given. The
    clients of a store or a catalogue elsewhere are boto3's: credentials come from where boto3 takes them.
    """
    if host not in _LOOPBACK and not is_open:
        raise Failure(f"{host} can be reached from other machines and nobody is asked who they are; --open allows it")
    for url in (s3_endpoint, glue_endpoint):
        if url is not None and not url.startswith(("http://", "https://")):
            raise Failure(f"{url!r} is not the URL of an endpoint, such as http://127.0.0.1:9000")
    if s3_endpoint is None and glue_endpoint is None:
        from cli.lake import open_lake

        with open_lake(data_dir, is_embedded=True):  # tables and buckets are there when the first client asks
            pass
    from embedded.server import Elsewhere, serve

    shown = f"[{host}]" if ":" in host else host
    if port:
        credentials = "AWS_DEFAULT_REGION=eu-central-1 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x"
        say(f"export AWS_ENDPOINT_URL=http://{shown}:{port} {credentials}")
    serve(host, port, data_dir, elsewhere=Elsewhere(s3_endpoint, glue_endpoint), module="cli.aws_endpoint")
