"""The status line, and how an error that a person can cause gets there."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from model.errors import FacetError


def status(text: str = "", kind: str = "") -> dict[str, str]:
    """What the status line shows. kind: "" or "error"."""
    return {"text": text, "kind": kind}


def refusing(outputs: int) -> Callable[[Callable], Callable]:
    """For an event, or one that yields, whose second output is the status line: a FacetError is told there.

    outputs: how many the event has; the others then stay as they are.
    """

    def told(error: FacetError) -> tuple[Any, ...]:
        return gr.skip(), status(str(error), "error"), *[gr.skip()] * (outputs - 2)

    def decorate(event: Callable) -> Callable:
        @functools.wraps(event)
        def once(*inputs: Any) -> Any:
            try:
                return event(*inputs)
            except FacetError as error:
                return told(error)

        @functools.wraps(event)
        def stepwise(*inputs: Any) -> Any:
            try:
                yield from event(*inputs)
            except FacetError as error:
                yield told(error)

        return stepwise if inspect.isgeneratorfunction(event) else once

    return decorate


def refusing_callers(endpoint: Callable) -> Callable:
    """For an endpoint that programs call, or one that yields: a FacetError becomes the answer's error, in one line."""

    @functools.wraps(endpoint)
    def once(*inputs: Any) -> Any:
        try:
            return endpoint(*inputs)
        except FacetError as error:
            raise gr.Error(str(error), print_exception=False) from None

    @functools.wraps(endpoint)
    def stepwise(*inputs: Any) -> Any:
        try:
            yield from endpoint(*inputs)
        except FacetError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return stepwise if inspect.isgeneratorfunction(endpoint) else once
