"""What is open: the routes that page and API need, by method, with the largest body of each. All else answers 404.

Paths are those that gradio's router sees: without the root path under which a proxy may show the app.
"""

import re
from dataclasses import dataclass

# The router's own, so that a door and what is behind it are never taken apart.
from starlette._utils import get_route_path
from starlette.types import Scope

KB, MB = 2**10, 2**20
# what gradio's clients call themselves
SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Door:
    """An open route."""

    methods: frozenset[str]
    path: re.Pattern[str]
    # bytes of a request's body
    most: int = 0
    # whether its body joins the queue or runs an event
    computes: bool = False


def _door(methods: str, path: str, most: int = 0, computes: bool = False) -> Door:
    return Door(frozenset(methods.split()), re.compile(path), most, computes)


READ = "GET HEAD"
API = "/gradio_api"
# an event without pictures
SIMPLE = 64 * KB
DOORS = (
    # the page
    _door(READ, r"/?"),
    _door(READ, rf"(/config|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|{API}/theme\.css)/?"),
    _door(READ, r"/(assets|static|svelte)/[\w./@+-]+"),
    _door(READ, rf"{API}/(info|openapi\.json|app_id|user|login_check|startup-events|queue/status)/?"),
    _door("GET", rf"{API}/heartbeat/{SESSION.pattern}"),
    # what other sites show for a link, see ui/share/card.py
    _door(READ, r"/card\.jpg"),
    # runs
    _door("POST", rf"{API}/queue/join", 8 * MB, True),
    _door("GET", rf"{API}/queue/data"),
    _door("POST", rf"{API}/call/(v2/)?\w+/?", SIMPLE, True),
    _door("GET", rf"{API}/call/(v2/)?\w+/{SESSION.pattern}"),
    _door("POST", rf"{API}/run/predict/?", SIMPLE, True),
    _door("POST", rf"{API}/(cancel|reset)/?", 4 * KB),
    # pictures on their way to the API, and its answers
    _door("POST", rf"{API}/upload", 5 * MB + 64 * KB),
    _door(READ, rf"{API}/file=/(?!/)[^:]+"),
)
MCP = _door("GET POST DELETE", rf"{API}/mcp(/.*)?", SIMPLE)


def find(scope: Scope) -> Door | None:
    """The door that a request is for; None where there is none."""
    path, method = get_route_path(scope), scope["method"]
    for door in DOORS:
        if method in door.methods and door.path.fullmatch(path):
            return door
    tools = getattr(getattr(scope.get("app"), "blocks", None), "mcp_server", False)
    return MCP if tools and method in MCP.methods and MCP.path.fullmatch(path) else None
