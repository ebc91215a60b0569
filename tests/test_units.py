import pytest

from msi_lazy.ngff.units import ngff_unit


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ("um", "space", "micrometer"),
        ("µm", "space", "micrometer"),
        ("μm", "space", "micrometer"),
        ("micron", "space", "micrometer"),
        ("Microns", "space", "micrometer"),
        ("micrometre", "space", "micrometer"),
        ("Millimeters", "space", "millimeter"),
        ("nm", "space", "nanometer"),
        ("m", "space", "meter"),
        ("Å", "space", "angstrom"),
        ("inch", "space", "inch"),
        ("s", "time", "second"),
        ("Seconds", "time", "second"),
        ("sec", "time", "second"),
        ("ms", "time", "millisecond"),
        ("min", "time", "minute"),
        ("h", "time", "hour"),
        ("", "space", None),
        (None, "time", None),
    ],
)
def test_spellings(given, kind, name):
    assert ngff_unit(given, kind) == name


@pytest.mark.parametrize(
    ("given", "kind"),
    [("Mm", "space"), ("Pm", "space"), ("Ms", "time"), ("hs", "time"), ("s", "space"), ("um", "time"), ("px", "space")],
)
def test_what_is_not_known_is_refused_and_no_prefix_is_guessed(given, kind):
    with pytest.raises(ValueError, match=repr(given)):
        ngff_unit(given, kind)
