"""Every error a person can cause, as one readable line: what is wrong, where, and what to do."""


class FacetError(Exception):
    """Base of the project's own errors; its text is safe to show on the page."""


class InputError(FacetError, ValueError):
    """A prompt, attribute, number or image that cannot be used as it is."""


class WeightsError(FacetError):
    """A weights file that is missing, damaged, or does not fit the others."""
