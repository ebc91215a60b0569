"""The plan as a picture: well-formed, in words too, to scale, and small however large the image."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

import msi_lazy as msi
from tests.support.plans import make_plan

SVG = "{http://www.w3.org/2000/svg}"


def explain(shape, dims, factors=(2, 2), name="image", **options):
    image = msi.to_spatial_image(np.zeros(shape, "u2"), dims=dims, name=name)
    return msi.explain(msi.to_multiscale(image, factors, **options))


def svg_of(plan):
    html = plan._repr_html_()
    return ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


def lines(group, kind):
    """Lines of a path of a level: each begins with a move."""
    path = group.find(f"{SVG}path[@class='{kind}']")
    return 0 if path is None else path.get("d").count("M")


class Strict(HTMLParser):
    """Every element is closed, in order; identifiers and references to them are kept."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.tags, self.attributes, self.references = [], [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [word for name, value in attrs if name == "aria-labelledby" for word in value.split()]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


PLANS = {
    "1D": explain((5000,), "x", chunks=100, block_bytes=2000),
    "2D": explain((300, 400), "yx", chunks=50, block_bytes=40000),
    "3D": explain((20, 128, 128), "zyx", ({"y": 2, "x": 2}, 2), chunks=16, block_bytes=30000),
    "channels": explain((2, 3, 64, 64), "tcyx", chunks=16, block_bytes=2000),
    "channels last": explain((64, 64, 3), "yxc", chunks=16),
    "no space": explain((6, 3), "tc", ({"t": 2},)),
    "one sample": explain((1, 1), "yx", ()),
    "very long": explain((2, 200_000), "yx", ({"x": 2},)),
    "name": explain((64, 64), "yx", (2,), name="<b> & \"'"),
    "petabyte": make_plan((81920,) * 3, factors=((2, 2, 2),) * 10),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_it_is_well_formed_and_needs_nothing_from_elsewhere(plan):
    html = plan._repr_html_()
    found = Strict(html)
    assert sorted(found.references) == sorted(found.ids)
    assert not {"script", "style", "img", "link", "image", "use", "b"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name in ("src", "href", "onload")]
    assert html.count("http") == html.count("http://www.w3.org/2000/svg") == 1
    colours = {value for name, value in found.attributes if name in ("fill", "stroke")}
    assert colours <= {"none", "currentColor"}  # which are right in light themes and dark ones
    assert len(html) < 100_000


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_no_level_has_more_than_a_few_hundred_lines(plan):
    groups = svg_of(plan).findall(f"{SVG}g")
    assert len(groups) == len(plan.levels)
    for group in groups:
        assert lines(group, "chunks") + lines(group, "blocks") < 400


def test_it_says_in_words_what_is_drawn():
    svg = svg_of(PLANS["channels"])
    title, desc = (svg.find(f"{SVG}{tag}") for tag in ("title", "desc"))
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text == "The 3 levels of the pyramid of 'image'"
    for words in (
        "of the dimensions y, x; not drawn: t of 2, c of 3",
        "scale1: 2 x 3 x 32 x 32 samples, in blocks of 1 x 1 x",
        "Shaded in each level is the part that one block of its stage computes",
    ):
        assert words in desc.text


def test_it_says_which_levels_are_made_inside_one_block():
    plan = PLANS["3D"]
    text = svg_of(plan).find(f"{SVG}desc").text
    for number, stage in enumerate(plan.stages):
        names = ", ".join(f"scale{level}" for level in stage.written)
        assert f"Stage {number} computes {names} in {stage.blocks} task" in text


def test_every_output_has_ids_of_its_own():
    plan = PLANS["2D"]
    assert not set(Strict(plan._repr_html_()).ids) & set(Strict(plan._repr_html_()).ids)


def test_names_are_escaped():
    assert svg_of(PLANS["name"]).find(f"{SVG}title").text == f"The 2 levels of the pyramid of {PLANS['name'].name!r}"


def test_the_table_has_a_caption_and_headers_of_rows_and_columns():
    html = PLANS["2D"]._repr_html_()
    assert html.count("<caption>") == 1
    assert html.count('<th scope="col">') == 7
    assert html.count('<th scope="row">') == 3


def test_borders_are_those_of_blocks_and_chunks():
    plan = PLANS["2D"]  # wide enough apart that none is left out
    stage = plan.stages[0]
    for level, group in zip(plan.levels[:2], svg_of(plan).findall(f"{SVG}g"), strict=False):
        chunks = [-(-n // chunk) for n, chunk in zip(level.shape, level.chunks, strict=True)]
        assert lines(group, "chunks") == sum(count - 1 for count in chunks)
        assert lines(group, "blocks") == sum(count - 1 for count in stage.counts)


def test_each_level_is_half_the_size_of_the_one_before():
    widths = []
    for group in svg_of(PLANS["2D"]).findall(f"{SVG}g"):
        outline = group.findall(f"{SVG}path")[-1].get("d").strip("MZ").split("L")
        widths.append(max(float(point.split()[0]) for point in outline))
    assert widths == pytest.approx([240, 120, 60], abs=0.1)


def test_a_frame_names_each_stage_and_its_tasks():
    texts = [text.text for text in svg_of(make_plan((8192,) * 3, factors=((2, 2, 2),) * 7)).iter(f"{SVG}text")]
    assert "stage 0: 32,768 tasks" in texts
    assert "stage 1: 64 tasks" in texts
    assert "x 8,192" in texts


def test_an_edited_tree_has_no_stages_to_draw():
    tree = msi.to_multiscale(msi.to_spatial_image(np.zeros((64, 64), "u1")), [2])
    edited = msi.explain(tree.map_over_datasets(lambda level: level + 1 if level.data_vars else level))
    assert not svg_of(edited).findall(f"{SVG}rect")
    assert "Shaded" not in edited._repr_html_()
