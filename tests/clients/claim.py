"""What a script says of its calls, and how it fails.

Each claim is a line of JSON on stdout, for subscriber.py: events of this name and id come from so many deliveries, and
each is so many facts.
"""

import json
import os
import sys
import time
import urllib.parse
import uuid

import requests

# In every id of a run, so that a second run against the same `up` finds nothing of the first.
RUN = uuid.uuid4().hex[:10]

# Loopback is reached directly, whatever proxy this machine uses.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"


def claim(event, id, deliveries=1, facts=1):
    print(json.dumps({"event": event, "id": id, "deliveries": deliveries, "facts": facts}), flush=True)


def same(what, found, expected):
    """Ends the script where something isn't as expected; an `assert` would be silent under -O."""
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def refused(what, call, error):
    """A call that the client itself must report as failed."""
    try:
        call()
    except error:
        return
    sys.exit(f"{what}: it went through")


def known(kind, id):
    """Waits until `orders` or `people` have it, and gives it. Deliveries overtake each other on their way, so a claim
    that depends on their order waits in between."""
    url = f"{endpoints()['query']}/v1/{kind}/{urllib.parse.quote(str(id), safe='')}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = requests.get(url, headers={"X-API-Key": "sk_dev_demo"}, timeout=20)
        if answer.ok:
            return answer.json()
        time.sleep(0.1)
    sys.exit(f"{url}: still {answer.status_code} after 60 s")


def endpoints():
    """The addresses in the file that is the first argument."""
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)
