"""Verifies every DKIM signature of every .eml file in a folder with python3-dkim.

Usage: verify_dkim.py FOLDER SIGNATURES KEYS.json
KEYS.json maps a DNS name to the TXT record that stands there. Prints the number of
signatures that verify; exits 1 naming the files with one that does not, or with
another number of them than SIGNATURES.
"""
import json
import pathlib
import sys

import dkim

folder, want = pathlib.Path(sys.argv[1]), int(sys.argv[2])
records = json.loads(pathlib.Path(sys.argv[3]).read_text())


def lookup(name, timeout=5):
    return records.get(name.decode().rstrip("."), "").encode()


verified, bad = 0, []
for path in sorted(folder.glob("*.eml")):
    message = path.read_bytes()
    count = sum(1 for h, _ in dkim.DKIM(message).headers if h.lower() == b"dkim-signature")
    if count != want:
        bad.append(f"{path.name}: {count} signatures, want {want}")
    for index in range(count):
        try:
            ok = dkim.DKIM(message).verify(idx=index, dnsfunc=lookup)
        except Exception as fault:  # any fault of the verifier is a failure of ours
            ok = False
            bad.append(f"{path.name}: signature {index}: {fault}")
        if ok:
            verified += 1
        else:
            bad.append(f"{path.name}: signature {index} does not verify")
print(verified)
sys.exit("\n".join(bad[:20]) if bad else 0)
