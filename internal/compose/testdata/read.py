"""Reads mails with Python's email package.

One base64 line of standard input is a mail; one line of JSON on standard output
is what was read.
"""

import base64
import email
import email.policy
import email.utils
import json
import re
import sys
from email.header import decode_header, make_header


def addresses(msg, field):
    # The parser of the default policy puts a space between the encoded-words of a
    # display name (python/cpython#79728), so the older one reads them.
    values = [re.sub("\r\n(?=[ \t])", "", v) for k, v in msg.raw_items() if k.lower() == field]
    return [{"Name": str(make_header(decode_header(name))), "Email": addr}
            for name, addr in email.utils.getaddresses(values)]


def leaves(part, path):
    kind = part.get_content_type()
    if part.is_multipart():
        found = []
        for child in part.get_payload():
            found += leaves(child, path + [kind.removeprefix("multipart/")])
        return found
    return [{
        "Path": "/".join(path),
        "Type": kind,
        "Charset": part.get_content_charset() or "",
        "Method": part["content-type"].params.get("method", "") if part["content-type"] else "",
        "Disposition": part.get_content_disposition() or "",
        "Filename": part["content-disposition"].params.get("filename", "") if part["content-disposition"] else "",
        "ContentID": str(part["content-id"] or ""),
        "Body": base64.b64encode(part.get_payload(decode=True)).decode(),
    }]


def defects(part):
    found = [type(d).__name__ for d in part.defects]
    for name, value in part.items():
        # Python reports filename= beside filename*=, which RFC 6266 4.3 recommends.
        if name.lower() != "content-disposition":
            found += [name + ": " + type(d).__name__ for d in value.defects]
    if part.is_multipart():
        for child in part.get_payload():
            found += defects(child)
    return found


for line in sys.stdin:
    msg = email.message_from_bytes(base64.b64decode(line), policy=email.policy.default)
    print(json.dumps({
        "Fields": msg.keys(),
        "Subject": str(msg["subject"] or ""),
        "From": addresses(msg, "from"),
        "To": addresses(msg, "to"),
        "Cc": addresses(msg, "cc"),
        "ReplyTo": addresses(msg, "reply-to"),
        "Values": [str(v) for k, v in msg.items() if k.startswith("X-") or k in ("References", "Feedback-ID")],
        "Leaves": leaves(msg, []),
        "Defects": defects(msg),
    }))
