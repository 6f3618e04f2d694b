"""AWS's query protocol, for the one call of STS that clients make to learn who they are: GetCallerIdentity."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from xml.sax.saxutils import escape

from flask import Response

from embedded.aws_shape import ACCOUNT_ID

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def answer_query(form: Mapping[str, str]) -> Response:
    """The HTTP answer to a form; every action but GetCallerIdentity is an InvalidAction that names it."""
    action = form.get("Action", "")
    request_id = str(uuid.uuid4())
    if action == "GetCallerIdentity":
        body = (
            f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>'
            f"<Arn>arn:aws:iam::{ACCOUNT_ID}:user/embedded</Arn><UserId>AIDAEMBEDDED</UserId>"
            f"<Account>{ACCOUNT_ID}</Account></GetCallerIdentityResult>"
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )
        return Response(body, 200, content_type="text/xml")
    body = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type><Code>InvalidAction</Code>'
        f"<Message>Could not find operation {escape(action)} for version {escape(form.get('Version', ''))}</Message>"
        f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Response(body, 400, content_type="text/xml")
