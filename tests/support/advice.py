"""Advice in messages: calls that can be pasted, and are."""

import re
import warnings

_CALL = re.compile(r"image\.(?:rename|isel|stack|expand_dims|drop_vars)\((?:[^()]|\([^()]*\))*\)(?:, drop=True\))?")


def advised(message, image):
    """The images that the calls in a message give, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [eval(call, {"image": image}) for call in _CALL.findall(str(message))]
