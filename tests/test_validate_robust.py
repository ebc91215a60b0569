"""validate on what is worse than a fault: any metadata, damaged chunks, no store; and how it reports."""

import json
from copy import deepcopy

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.buffer import cpu
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec
from zarr.storage import MemoryStore

from msi_lazy.cli.validate import validate as validate_command
from msi_lazy.validation import ValidationReport, validate
from tests.support.stored_images import (
    LABEL,
    VERSIONS,
    broken,
    edited,
    multiscale,
    small_image,
    sound_contents,
    sound_image,
    transformations,
)
from tests.support.strategies import mutate


@given(st.data())
def test_any_metadata_give_a_report(data):
    version = data.draw(st.sampled_from((*VERSIONS, "0.6")))
    root = sound_image(version)
    for path in data.draw(st.lists(st.sampled_from(["", "", "labels", LABEL]), min_size=1, max_size=4)):
        node = root[path] if path else root
        attributes = deepcopy(node.attrs.asdict())
        mutate(data.draw, attributes)
        node.attrs.put(attributes)
    report = validate(root.store, decode="none")
    assert isinstance(report, ValidationReport)
    assert str(report).encode()
    assert report._repr_html_().encode()


@settings(max_examples=settings().max_examples // 2)
@given(st.data())
def test_any_zarr_metadata_of_what_is_below_give_a_report(data):
    contents = dict(sound_contents(data.draw(st.sampled_from((*VERSIONS, "0.6")))))
    documents = [key for key in contents if "/" in key and key.endswith(("zarr.json", ".zgroup", ".zattrs", ".zarray"))]
    for key in data.draw(st.lists(st.sampled_from(sorted(documents)), min_size=1, max_size=4, unique=True)):
        document = json.loads(contents[key].to_bytes())
        mutate(data.draw, document)
        text = json.dumps(document).encode() if data.draw(st.booleans()) else data.draw(st.binary(max_size=9))
        contents[key] = cpu.Buffer.from_bytes(text)
    assert isinstance(validate(MemoryStore(contents), decode="none"), ValidationReport)


CODECS = {
    "blosc": {"compressors": BloscCodec(cname="zstd")},
    "gzip": {"compressors": GzipCodec()},
    "checksum": {"compressors": Crc32cCodec()},
    "sharded": {"shards": (32, 32), "compressors": GzipCodec()},
}


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("codec", "damage"), [("blosc", truncated), ("gzip", flipped), ("checksum", flipped), ("sharded", flipped)]
)
def test_a_damaged_chunk_is_found(tmp_path, monkeypatch, codec, damage):
    monkeypatch.setattr("msi_lazy.validation.check_chunks._BLOCK_BYTES", 2048)  # several chunks, not all
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs.put(small_image().attrs.asdict())
    pixels = np.random.default_rng(0).integers(0, 999, (70, 64), "u2")
    root.create_array("0", data=pixels, chunks=(16, 16), dimension_names=["y", "x"], **CODECS[codec])
    assert broken(root, "all") == []
    unit = "2/1" if codec == "sharded" else "4/3"
    chunk = tmp_path / "a.zarr" / "0" / "c" / unit
    intact = chunk.read_bytes()
    chunk.write_bytes(damage(intact))
    for decode in ("sample", "all"):
        (finding,) = validate(tmp_path / "a.zarr", decode=decode).findings
        assert (finding.rule, finding.path) == ("chunk-decodes", "/0")
        assert "[64:70, " in finding.message
    assert broken(root, "none") == []
    chunk.unlink()
    assert broken(root, "all") == []
    (chunk.parents[1] / "1" / "1").write_bytes(damage(intact))
    assert broken(root, "sample") == ([] if codec != "sharded" else ["chunk-decodes"])
    (finding,) = validate(root, decode="all").findings
    sharded = codec == "sharded"
    assert finding.message.startswith("1 of 6 shards cannot" if sharded else "1 of 20 chunks cannot")
    assert ("[32:64, 32:64]" if sharded else "[16:32, 16:32]") in finding.message


def test_what_is_no_group_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Zarr group"):
        validate(tmp_path / "nothing.zarr")
    with pytest.raises(FileNotFoundError, match="no Zarr group"):
        validate(MemoryStore())
    zarr.create_array(tmp_path / "array.zarr", shape=(2, 2), dtype="u1")
    with pytest.raises(ValueError, match="is a Zarr array"):
        validate(tmp_path / "array.zarr")
    for nothing in (None, 5):
        with pytest.raises(TypeError, match="store"):
            validate(nothing)
    with pytest.raises(ValueError, match="unknown protocol"):
        validate("nonsense://a/b")
    with pytest.raises(ValueError, match="'sample', 'all', 'none', not 'some'"):
        validate(small_image(), decode="some")


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b'{"zarr_format": 3, "attributes": []}'])
def test_a_root_whose_metadata_cannot_be_read_is_a_finding(tmp_path, content):
    (tmp_path / "zarr.json").write_bytes(content)
    assert broken(tmp_path) == ["group-opens"]


def test_the_report_reads_well():
    root = small_image(name=None)
    with edited(root) as ome:
        multiscale(ome)["axes"][0]["unit"] = "<um>"
        transformations(ome, 0)[0]["scale"] = [1, -1]
    report = validate(root)
    assert [finding.rule for finding in report.errors] == ["scale-positive", "dimension-names"]
    assert [finding.rule for finding in report.warnings] == ["axes-unit-name", "multiscale-name"]
    assert report.findings == report.errors + report.warnings
    text, html = str(report), report._repr_html_()
    title = f"{root.store_path}: not valid OME-Zarr 0.5: 2 MUSTs broken, 2 SHOULDs broken"
    assert text.splitlines()[0] == title
    assert title in html
    assert "&lt;um&gt;" in html
    assert "<um>" not in html
    for finding in report.findings:
        assert f"{finding.rule}  {finding.path}" in text
        assert f"{finding.severity.upper()} {finding.rule} at {finding.path}: {finding.message}" == str(finding)
    assert max(map(len, text.splitlines())) <= 110
    assert sum(report.passed.values()) == int(text.split(" checks passed")[0].split()[-1])


def test_the_command_line(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs.put(small_image(name=None).attrs.asdict())
    root.create_array("0", shape=(4, 4), dtype="u1", dimension_names=["y", "x"])
    result = CliRunner().invoke(validate_command, [str(tmp_path / "a.zarr"), "--decode", "all"])
    assert result.exit_code == 0
    assert "valid OME-Zarr 0.5: 1 SHOULD broken" in result.stdout
    root.create_array("0", shape=(4, 4), dtype="u1", overwrite=True)
    result = CliRunner().invoke(validate_command, [str(tmp_path / "a.zarr")])
    assert result.exit_code == 1
    assert "MUST    dimension-names  /0" in result.stdout
    result = CliRunner().invoke(validate_command, [str(tmp_path / "none.zarr")])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no Zarr group at")
