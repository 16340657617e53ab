"""aiosmtpd that hands each mail on, octet by octet, before it says 250.

usage: relay.py HOST:PORT-TO-LISTEN HOST:PORT-TO-RELAY-TO
"""

import asyncio
import smtplib
import sys

from aiosmtpd.smtp import SMTP


class Relay:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.client = smtplib.SMTP(host, int(port))
        self.client.ehlo()

    async def handle_DATA(self, server, session, envelope):
        client = self.client
        options = ["SMTPUTF8"] if envelope.smtp_utf8 else []
        # smtplib takes a quoted local part apart, so that the paths go by hand.
        command = "MAIL FROM:<%s> %s" % (envelope.mail_from, " ".join(options))
        client.command_encoding = "utf-8"
        replies = [client.docmd(command.strip())]
        replies += [client.docmd("RCPT TO:<%s>" % to) for to in envelope.rcpt_tos]
        for code, text in replies:
            if code != 250:
                return "451 relay said %d %s" % (code, text)
        code, text = client.data(envelope.original_content)
        return "250 OK" if code == 250 else "451 relay said %d %s" % (code, text)


async def main():
    listen, relay = sys.argv[1:]
    host, port = listen.rsplit(":", 1)
    handler = Relay(relay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, hostname="aiosmtpd.test"), host, int(port))
    await server.serve_forever()


asyncio.run(main())
