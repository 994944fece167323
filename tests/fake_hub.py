"""As much of the Hugging Face Hub as publishing and fetching need, on the loopback address."""

import base64
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

API = re.compile(r"/api/(models|spaces)/([\w.-]+/[\w.-]+)/(preupload|commit|tree|revision)/([^/?]+)")
LFS = re.compile(r"/(?:spaces/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch")
FILE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")


class FakeHub(ThreadingHTTPServer):
    """Keeps repositories as commit -> path -> bytes. `wrote` lists every request that changes something."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.objects: dict[str, bytes] = {}
        self.wrote: list[str] = []
        # seconds before every answer
        self.delay = 0.0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, *_):
        pass

    def answer(self, data, status: int = 200, head: dict[str, str] | None = None):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(head or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self):
        time.sleep(self.server.delay)
        if match := FILE.match(unquote(self.path)):
            repo, revision, name = match.groups()
            files = self.server.repos.get(repo, {}).get(revision, {})
            if name not in files:
                return self.answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
            return self.answer(files[name], head={"etag": etag, "X-Repo-Commit": revision})
        match = API.match(self.path)
        if match and match[3] == "tree" and (match[4] == "main" or match[4] in self.server.repos.get(match[2], {})):
            files = self.newest(match[2]) if match[4] == "main" else self.server.repos[match[2]][match[4]]
            return self.answer(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
            )
        self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def newest(self, repo: str) -> dict[str, bytes]:
        return list(self.server.repos[repo].values() or [{}])[-1]

    def do_PUT(self):
        data = self.body()
        self.server.objects[hashlib.sha256(data).hexdigest()] = data
        self.answer({})

    def do_POST(self):
        body = self.body()
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if match := LFS.match(self.path):
            return self.answer(
                {
                    "objects": [
                        {
                            "oid": item["oid"],
                            "size": item["size"],
                            "actions": {"upload": {"href": f"{self.server.address}/lfs/{item['oid']}"}},
                        }
                        for item in json.loads(body)["objects"]
                    ],
                    "transfer": "basic",
                }
            )
        if self.headers.get("authorization") != "Bearer hf_fake":
            return self.answer({"error": "Unauthorized"}, 401)
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            self.server.wrote.append(f"create {wanted['type']} {repo}")
            self.server.repos.setdefault(repo, {})
            return self.answer({"url": f"{self.server.address}/{'spaces/' if wanted['type'] == 'space' else ''}{repo}"})
        match = API.match(self.path)
        if match and match[3] == "preupload":
            return self.answer(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".png")) else "regular",
                            "shouldIgnore": False,
                        }
                        for file in json.loads(body)["files"]
                    ]
                }
            )
        if match and match[3] == "commit":
            files = dict(self.newest(match[2]))
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.server.objects[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = hashlib.sha1(body).hexdigest()
            self.server.repos[match[2]][oid] = files
            self.server.wrote.append(f"commit {match[2]}")
            return self.answer(
                {"success": True, "commitOid": oid, "commitUrl": f"{self.server.address}/{match[2]}/commit/{oid}"}
            )
        self.answer({"error": "not known here"}, 404)
