"""Is the app well? Sends a tiny event through the queue: a page that loads says nothing about whether anything is still
drawn.

    python -m ui.server.health        ends with 0 if the event comes back, with 1 and one line if not
"""

import http.client
import json
import urllib.request

from model.errors import InputError
from ui.server.start import own_page

SECONDS = 8.0


def main() -> None:
    # itself, whatever proxy there is
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        address = f"{own_page()}/gradio_api/call/health"
        request = urllib.request.Request(address, b'{"data": []}', {"Content-Type": "application/json"})
        with opener.open(request, timeout=SECONDS) as answer:
            event = json.load(answer)["event_id"]
        with opener.open(f"{address}/{event}", timeout=SECONDS) as answer:
            said = answer.read(1000).decode(errors="replace")
    except (OSError, ValueError, KeyError, http.client.HTTPException, InputError) as error:
        raise SystemExit(f"health: {error}") from None
    if "event: complete" not in said:
        raise SystemExit("health: the event did not come back")


if __name__ == "__main__":
    main()
