"""The machine that the app starts on: its environment's proxies, certificates, addresses, numbers, temporary folder.

Gradio asks its own page whether it is up, through whatever the environment names, and reads that environment while it
is imported; so does PyTorch's OpenMP. So `prepare` comes before both, and ends the process with one line where it must.
"""

import ctypes
import inspect
import ipaddress
import os
import platform
import socket
import ssl
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.errors import InputError

Environment = MutableMapping[str, str]

LOCAL = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
LARGEST_PORT = 65535
# of glibc's malloc.h
M_ARENA_MAX = -8
# number formats of the networks, the default first
PRECISIONS = ("float32", "bfloat16")


def prepare(environment: Environment = os.environ) -> str | None:
    """Mend what can be mended, with a line for the log; else end with one line (SystemExit).

    Returns the address for launch(), None for gradio's own.
    """
    wait_shortly(environment)
    share_free_memory(environment)
    try:
        for line in [*mend_proxies(environment), *mend_certificates(environment)]:
            print(f"facet: {line}", flush=True)
        for name, default, least, most in (
            ("GRADIO_SERVER_PORT", 7860, 1, LARGEST_PORT),
            ("GRADIO_NUM_PORTS", 100, 1, LARGEST_PORT),
            ("FACET_CONCURRENCY", 2, 1, 64),
        ):
            if name in environment:
                environment[name] = str(whole_number(name, default, least, most, environment))
        choice("FACET_PRECISION", PRECISIONS, environment)
        check_folder(environment)
        return own_address(environment)
    except InputError as error:
        raise SystemExit(f"facet: {error}") from None


@contextmanager
def without_stubs() -> Iterator[None]:
    """Inside, gradio is imported without the stubs that it writes for editors: it parses the source of each of its
    components for them, which takes a sixth of the app's start."""
    getfile = inspect.getfile

    def hidden(thing: Any) -> str:
        # to gradio that is a component without a file, which gets no stub
        if str(getattr(thing, "__module__", "")).startswith("gradio."):
            raise OSError("no stub is wanted")
        return getfile(thing)

    inspect.getfile = hidden
    try:
        yield
    finally:
        inspect.getfile = getfile


def wait_shortly(environment: Environment) -> None:
    """Let a thread of OpenMP that waits for another give up its core after microseconds, as it does not by default.

    With other programs on the cores, the thread that it waits for has none meanwhile: a face then takes ten times as
    long (docs/benchmarks.md).
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "2000")


def share_free_memory(environment: Environment) -> bool:
    """Let all threads take from two pools of freed memory, where glibc makes eight a core: 0.1 GB less after a tour of
    the page. Whether that was done."""
    if platform.libc_ver()[0] != "glibc" or "MALLOC_ARENA_MAX" in environment:
        return False
    return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2))


def give_back_memory() -> bool:
    """Give the system what was freed, of which glibc keeps 0.2 to 0.5 GB. Whether any was given."""
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).malloc_trim(0))


def mend_proxies(environment: Environment) -> list[str]:
    """Let no proxy stand between the app and itself, and drop those of no use. Returns what was dropped, in lines."""
    import httpx

    told, proxies = [], [name for name in environment if name.lower() in PROXIES]
    for name in proxies:
        address = written(environment[name])
        if not address:
            continue
        try:
            httpx.HTTPTransport(proxy=httpx.Proxy(address if "://" in address else f"http://{address}")).close()
        except Exception as error:
            # no such scheme, no such port, a package for SOCKS that is not installed
            del environment[name]
            told.append(f"{name} is not used: {str(error).splitlines()[0].split(' Make sure')[0]}")
    lists = (environment.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    before = dict.fromkeys(host.strip() for named in lists for host in named.split(",") if host.strip())
    if unread := [host for host in before if not _readable(host)]:
        told.append(f"NO_PROXY is used without {', '.join(unread)[:80]}: not the form that httpx reads.")
    if proxies or unread:
        hosts = [host for host in before if host not in unread] + [*LOCAL, _listening(environment)]
        environment.update(dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(dict.fromkeys(filter(None, hosts)))))
    return told


def _readable(host: str) -> bool:
    """Whether an entry of NO_PROXY can be read by httpx, by which gradio asks its own page (each becomes a pattern)."""
    import httpx

    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        try:
            httpx.URL(host if "://" in host else f"all://*{host}")
            return True
        except httpx.InvalidURL:
            return False


def mend_certificates(environment: Environment) -> list[str]:
    """Drop SSL_CERT_FILE and SSL_CERT_DIR that cannot be read (Python's own certificates serve), and an SSLKEYLOGFILE
    that cannot be written. Returns this in lines."""
    told, log = [], environment.get("SSLKEYLOGFILE")
    try:
        if log:
            open(log, "ab").close()
    except OSError as error:
        # ssl would end each context
        del environment["SSLKEYLOGFILE"]
        told.append(f"SSLKEYLOGFILE is not used: {log} cannot be written ({error.strerror or error}).")
    for name, kind in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        path = environment.get(name)
        try:
            if path and kind == "capath" and not Path(path).is_dir():
                raise FileNotFoundError(f"{path} is no folder")
            if path:
                # ssl's own errors are OSErrors too.
                ssl.create_default_context(**{kind: path})  # pyright: ignore[reportArgumentType]
        except OSError as error:
            del environment[name]
            told.append(f"{name} is not used: {path} cannot be read ({error.strerror or error}).")
    return told


def written(value: str) -> str:
    """A value as a shell reads it: without the quotes that an env file keeps, ~ filled in."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return os.path.expanduser(text)


def whole_number(name: str, default: int, least: int, most: int, environment: Environment = os.environ) -> int:
    """A whole number of the environment, `default` where there is none. Raises InputError out of its bounds."""
    text = written(environment.get(name, ""))
    try:
        value = int(text or default)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise InputError(f"{name} must be a whole number from {least} to {most}, not {text[:40]!r}.")
    return value


def choice(name: str, options: Sequence[str], environment: Environment = os.environ) -> str:
    """One of `options` of the environment, the first where it is not there or empty. Raises InputError for another."""
    text = written(environment.get(name, "")) or options[0]
    if text not in options:
        raise InputError(f"{name} must be {' or '.join(options)}, not {text[:40]!r}.")
    return text


def own_address(environment: Environment) -> str | None:
    """The address for launch(), in brackets as it stands in a URL, if GRADIO_SERVER_NAME is one of IPv6; else None.

    Gradio looks for a free port of IPv4 only, at the address that the environment names: so one of IPv6 leaves it.
    Raises InputError for an address that nothing can listen on here.
    """
    name = _listening(environment)
    if not name:
        return None
    try:
        if "%" in name:
            raise OSError("no page has an address with an interface in it")
        family, kind, protocol, _, address = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as attempt:
            attempt.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"GRADIO_SERVER_NAME={name[:60]} is no address of this machine that can be listened on "
            f"({getattr(error, 'strerror', None) or error})."
        ) from error
    environment["GRADIO_SERVER_NAME"] = name
    if ":" not in name:
        return None
    del environment["GRADIO_SERVER_NAME"]
    return f"[{name}]"


def check_folder(environment: Environment) -> None:
    """Raise InputError where no temporary file can be written: in GRADIO_TEMP_DIR, or else where Python puts them.

    The folder of this process is made in it (see ui/server/folder.py).
    """
    named = written(environment.get("GRADIO_TEMP_DIR", ""))
    try:
        if named:
            os.makedirs(named, exist_ok=True)
            environment["GRADIO_TEMP_DIR"] = named
        with tempfile.TemporaryFile(dir=named or None) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise InputError(
            f"No temporary files can be written ({error.strerror or error}): free some space, or name another folder "
            f"in {'GRADIO_TEMP_DIR' if named else 'TMPDIR'}."
        ) from error


def own_page(environment: Environment = os.environ) -> str:
    """Where this machine reaches the app that listens as the environment says. Raises InputError."""
    name = _listening(environment)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    port = whole_number("GRADIO_SERVER_PORT", 7860, 1, LARGEST_PORT, environment)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _listening(environment: Environment) -> str:
    return written(environment.get("GRADIO_SERVER_NAME", "")).removeprefix("[").removesuffix("]")
