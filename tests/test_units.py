import pytest

from msi_lazy.units import ngff_unit


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
        ("\u212b", "space", "angstrom"),
        ("feet", "space", "foot"),
        ("days since 2000-01-01", "time", "day"),
        ("degrees_north", "space", "degree"),
        ("degrees_east", "space", "degree"),
        ("degreeE", "space", "degree"),
        ("deg", "space", "degree"),
        ("°", "space", "degree"),
        ("nm", None, "nanometer"),  # an axis without a type: wavelengths, say
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
def test_what_is_not_known_is_no_unit_and_no_prefix_is_guessed(given, kind):
    assert ngff_unit(given, kind) is None
