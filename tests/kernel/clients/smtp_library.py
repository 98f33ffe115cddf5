"""Python's smtplib against a host: argument 1 is its address, 2 a CA's file for TLS ("-": none)."""

import smtplib
import ssl
import sys
from email.message import EmailMessage

host, ca = sys.argv[1:3]

message = EmailMessage()
message["From"] = "Ann <ann@client.example>"
message["To"] = "Bob <bob@pystack>"
message["Subject"] = "Grüße"
message.set_content("one\n.\n..two\n\nthree\n")
message.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream")

with smtplib.SMTP(host, timeout=60) as smtp:
    if ca != "-":
        smtp.starttls(context=ssl.create_default_context(cafile=ca))
    smtp.send_message(message)
    smtp.sendmail("", [f"root@[{host}]", "bob@pystack"], b"Subject: plain\r\n\r\ntext\r\n")
    refused = smtp.sendmail("a@b", ["bob@pystack", "eve@else.example"], b"Subject: half\r\n\r\n")
    assert list(refused) == ["eve@else.example"], refused
    assert refused["eve@else.example"][0] == 550
    try:
        smtp.sendmail("a@b", "eve@else.example", b"")
        raise AssertionError("it relays")
    except smtplib.SMTPRecipientsRefused:
        pass
    smtp.sendmail(
        "ü@client.example", ["é@pystack"], b"Subject: x\r\n\r\n", ["SMTPUTF8", "BODY=8BITMIME"]
    )
    code = 0
    try:
        smtp.sendmail("a@b", "bob@pystack", b"\r\n" * 6_000_000)
    except smtplib.SMTPSenderRefused as error:
        code = error.smtp_code
    assert code == 552
    assert smtp.verify("bob")[0] == 252
    assert smtp.noop()[0] == 250
print("all")
