"""Python's http.client and urllib over its own ssl; usage: https_libraries.py ADDRESS CA"""

import hashlib
import http.client
import json
import ssl
import sys
import urllib.request

address, ca = sys.argv[1:]
pattern = bytes(range(251)) * 40_000
context = ssl.create_default_context(cafile=ca)

connection = http.client.HTTPSConnection(address, context=context, timeout=30)
for number in range(3):
    connection.request("GET", f"/bytes/{100_000 + number}")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read() == pattern[: 100_000 + number]
connection.request("POST", "/upload", body=pattern, headers={"Expect": "100-continue"})
told = json.loads(connection.getresponse().read())
assert told == {"bytes": len(pattern), "sha256": hashlib.sha256(pattern).hexdigest()}
connection.close()

for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = version
    with urllib.request.urlopen(f"https://{address}/connection.json", context=context) as answer:
        told = json.load(answer)
    assert told["security"]["protocol"] == version.name.replace("_", ".")
    assert told["security"]["alpn"] in (None, "http/1.1")
print("ok")
