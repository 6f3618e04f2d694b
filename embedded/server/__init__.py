"""The embedded Athena, Glue and S3 over HTTP, in AWS's own protocols, on one port.

For clients that speak to AWS and cannot tell: with `AWS_ENDPOINT_URL=http://127.0.0.1:8081` and any credentials,
boto3, the AWS command line, PyAthena and awswrangler work unchanged. Athena and Glue speak JSON 1.1 (the header
X-Amz-Target names the operation), S3 speaks REST-XML (path style, or the bucket in front of `.localhost`), and STS
answers GetCallerIdentity, because clients ask. Requests are read and answers written by botocore's own service models:
the endpoint can do whatever the object behind it can, and refuses the rest by name. Signatures are not checked.

    create_app(athena=athena, glue=glue, s3=s3)      a WSGI application (Flask)
    serve("127.0.0.1", 8081, Path(".data"))          the same under gunicorn, over a data directory
"""

from embedded.server.application import create_app
from embedded.server.serving import DataDirectory, Elsewhere, serve

__all__ = ["DataDirectory", "Elsewhere", "create_app", "serve"]
