"""Asking the running app over HTTP, for the tests of this folder."""

import httpx


def answer(client: httpx.Client, endpoint: str, data: list) -> str:
    """The event stream that a call of the API ends in."""
    asked = client.post(f"/gradio_api/call/{endpoint}", json={"data": data})
    assert asked.status_code == 200, asked.text
    return client.get(f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}").text


def upload(client: httpx.Client, data: bytes, name: str = "face.png") -> httpx.Response:
    return client.post("/gradio_api/upload", files={"files": (name, data)})


def what_comes(client: httpx.Client, path: str) -> str:
    """The text of an answer, also of one that gradio cuts short."""
    text = ""
    try:
        with client.stream("GET", path) as stream:
            for part in stream.iter_text():
                text += part
    except httpx.TransportError:
        pass
    return text


def as_file(path: str) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}
