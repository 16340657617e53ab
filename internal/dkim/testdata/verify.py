"""Verifies DKIM signatures with dkimpy.

One line of standard input is JSON: a mail in base64 and the TXT records. One line
of JSON on standard output says of each signature whether it is valid.
"""

import base64
import json
import sys

import dkim

for line in sys.stdin:
    case = json.loads(line)
    message = base64.b64decode(case["message"])
    records = {name + ".": value.encode() for name, value in case["records"].items()}

    def txt(name, timeout=5):
        return records.get(name.decode() if isinstance(name, bytes) else name)

    results = []
    for i in range(case["signatures"]):
        try:
            results.append(dkim.DKIM(message).verify(idx=i, dnsfunc=txt))
        except dkim.DKIMException as e:
            results.append(False)
            print(e, file=sys.stderr)
    print(json.dumps(results))
