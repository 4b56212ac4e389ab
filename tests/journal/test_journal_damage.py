"""Whatever happens to the bytes of a journal, what is whole is read and nothing false is."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal import JournalWriter, read_frames
from mlops_workbench.journal.format import HEADER_BYTES, MARK, pack_body, pack_crc, pack_header

QUICK = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pack_frame(salt: bytes, type_number: int, sequence: int, payload: bytes) -> bytes:
    """A complete frame; the writer packs its parts inline."""
    body = pack_body(len(payload), type_number, sequence) + payload
    return MARK + salt + pack_crc(zlib.crc32(body)) + body


# Payloads that look like the format itself are the interesting ones.
payloads = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=40).map(lambda data: pack_header(b"abcd") + pack_frame(b"abcd", 3, 99, data)),
    st.just(MARK * 20),
    st.just(bytes(300)),
)
contents = st.lists(st.tuples(st.integers(0, 65535), payloads), min_size=1, max_size=12)


def write(folder: Path, frames: list[tuple[int, bytes]]) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    writer = JournalWriter(folder, "s", segment_bytes=1 << 24, fsync_seconds=60)
    for type_number, payload in frames:
        writer.append(type_number, payload)
    writer.close()
    return writer.path


def read(path: Path, offset: int = 0) -> list[tuple[int, bytes]]:
    return [(frame.type, frame.payload) for frame in read_frames(path, offset)]


@QUICK
@given(frames=contents)
def test_what_was_appended_is_read_in_order(frames, tmp_path):
    path = write(tmp_path / "j", frames)
    assert read(path) == frames
    assert [frame.sequence for frame in read_frames(path)] == list(range(len(frames)))


@QUICK
@given(frames=contents, data=st.data())
def test_a_file_cut_anywhere_gives_every_frame_before_the_cut(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    ends = [frame.end for frame in read_frames(path)]
    raw = path.read_bytes()
    cut = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:cut])
    assert read(path) == frames[: sum(end <= cut for end in ends)]
    path.write_bytes(raw[:cut] + bytes(5000))
    # A cut inside trailing zeros of a payload changes nothing once zeros follow.
    assert read(path)[: sum(end <= cut for end in ends)] == frames[: sum(end <= cut for end in ends)]
    assert read(path) == frames[: len(read(path))]


@QUICK
@given(frames=contents, data=st.data())
def test_a_changed_byte_costs_at_most_the_frame_it_is_in(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    ends = [HEADER_BYTES, *(frame.end for frame in read_frames(path))]
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    hit = next((i for i, end in enumerate(ends[1:]) if ends[i] <= place < end), None)
    assert read(path) == [frame for i, frame in enumerate(frames) if i != hit]


@QUICK
@given(frames=contents, data=st.data())
def test_a_damaged_stretch_never_gives_a_false_frame(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    ends = [HEADER_BYTES, *(frame.end for frame in read_frames(path))]
    raw = bytearray(path.read_bytes())
    start = data.draw(st.integers(HEADER_BYTES, len(raw)))
    stop = data.draw(st.integers(start, len(raw)))
    raw[start:stop] = data.draw(st.binary(min_size=stop - start, max_size=stop - start))
    path.write_bytes(raw)
    whole = [frame for i, frame in enumerate(frames) if ends[i + 1] <= start or ends[i] >= stop]
    found = read(path)
    # Random bytes may by chance be the old ones, so a frame inside the stretch may still be whole.
    remaining = iter(frames)
    assert all(any(frame == other for other in remaining) for frame in found)
    remaining_found = iter(found)
    assert all(any(frame == other for other in remaining_found) for frame in whole)


#: Frames around the size of a page, so that pages hold some, one, or a part of one.
long_payloads = st.one_of(payloads, st.integers(300, 9000).map(lambda size: (f"{size} ".encode() * size)[:size]))
long_contents = st.one_of(
    st.lists(st.tuples(st.integers(0, 65535), long_payloads), min_size=4, max_size=60),
    # Many of a size, so that there are many pages.
    st.tuples(st.integers(40, 120), st.sampled_from([30, 200, 1000, 3000])).map(
        lambda drawn: [(i, f"{i} ".encode() * (drawn[1] // len(f"{i} "))) for i in range(drawn[0])]
    ),
)
PAGE = 4096


def check_damage(path: Path, frames: list[tuple[int, bytes]], ends: list[int], raw: bytes) -> None:
    """With `raw` in the place of the file: each frame whose bytes are as they were, once, and no false one."""
    before = path.read_bytes()
    path.write_bytes(raw)
    found = list(read_frames(path))
    sequences = [frame.sequence for frame in found]
    assert len(set(sequences)) == len(sequences), "a frame came twice"
    assert all(frames[frame.sequence] == (frame.type, frame.payload) for frame in found), "a false frame"
    whole = {i for i in range(len(frames)) if before[ends[i] : ends[i + 1]] == raw[ends[i] : ends[i + 1]]}
    assert whole <= set(sequences), "a whole frame is missing"


def laid_out(path: Path) -> list[int]:
    return [HEADER_BYTES, *(frame.end for frame in read_frames(path))]


@QUICK
@given(frames=long_contents, data=st.data())
def test_bytes_changed_in_several_places_cost_no_frame_but_theirs(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    raw = bytearray(path.read_bytes())
    # One copy of the header tells what belongs to the file; see below for a file that has lost both.
    anywhere = st.one_of(st.integers(0, HEADER_BYTES // 2 - 1), st.integers(HEADER_BYTES, len(raw) - 1))
    places = st.tuples(anywhere, st.integers(1, 255))
    for place, change in data.draw(st.lists(places, min_size=1, max_size=12)):
        raw[place] ^= change
    check_damage(path, frames, laid_out(path), bytes(raw))


@QUICK
@given(frames=long_contents, data=st.data())
def test_pages_of_zeros_cost_no_frame_but_theirs(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    raw = bytearray(path.read_bytes())
    pages = data.draw(st.sets(st.integers(0, len(raw) // PAGE), min_size=1, max_size=3))
    # The first page holds both copies of the header: without them, frames of another file in what is left of a payload
    # cannot be told from the file's own when they are the majority.
    assume(0 not in pages or not any(b"abcd" in payload for _, payload in frames))
    for page in pages:
        raw[page * PAGE : (page + 1) * PAGE] = bytes(len(raw[page * PAGE : (page + 1) * PAGE]))
    check_damage(path, frames, laid_out(path), bytes(raw))


@QUICK
@given(frames=long_contents, data=st.data())
def test_a_page_in_the_wrong_place_costs_no_frame_but_those_it_overwrote(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    raw = path.read_bytes().ljust(3 * PAGE, b"\0")
    pages = [raw[start : start + PAGE] for start in range(0, len(raw), PAGE)]
    numbers = st.integers(0, len(pages) - 1)
    one, other = data.draw(numbers), data.draw(numbers)
    what = data.draw(st.sampled_from(["copied", "swapped", "inserted"]))
    if what == "inserted":
        # All that follows moves: it is not where it was, but still whole.
        path_frames = [*pages[: other + 1], pages[one], *pages[other + 1 :]]
        moved = b"".join(path_frames)
        ends = laid_out(path)
        path.write_bytes(moved)
        found = list(read_frames(path))
        sequences = [frame.sequence for frame in found]
        assert len(set(sequences)) == len(sequences)
        assert all(frames[frame.sequence] == (frame.type, frame.payload) for frame in found)
        cut = (other + 1) * PAGE
        assert {i for i in range(len(frames)) if ends[i + 1] <= cut or ends[i] >= cut} <= set(sequences)
        return
    if what == "swapped":
        pages[one], pages[other] = pages[other], pages[one]
    else:
        pages[other] = pages[one]
    check_damage(path, frames, laid_out(path), b"".join(pages)[: max(len(raw), 1)])


@QUICK
@given(one=long_contents, two=long_contents, data=st.data())
def test_files_that_hold_pages_of_each_other_give_only_their_own_frames(one, two, data, tmp_path):
    paths = [write(tmp_path / name, frames) for name, frames in (("one", one), ("two", two))]
    laid = [laid_out(path) for path in paths]
    raws = [bytearray(path.read_bytes()) for path in paths]
    shared = min(map(len, raws)) // PAGE
    for page in data.draw(st.sets(st.integers(0, shared), min_size=1, max_size=4)):
        piece = slice(page * PAGE, min((page + 1) * PAGE, *map(len, raws)))
        raws[0][piece], raws[1][piece] = raws[1][piece], raws[0][piece]
    if any(
        bytes(raw[:HEADER_BYTES]) != path.read_bytes()[:HEADER_BYTES] for raw, path in zip(raws, paths, strict=True)
    ):
        # With the first page goes the header, and so a file's identity.
        raws = [
            bytearray(path.read_bytes()[:HEADER_BYTES]) + raw[HEADER_BYTES:]
            for raw, path in zip(raws, paths, strict=True)
        ]
    for path, frames, ends, raw in zip(paths, (one, two), laid, raws, strict=True):
        check_damage(path, frames, ends, bytes(raw))


@QUICK
@given(frames=contents, data=st.data())
def test_reading_goes_on_where_it_stopped(frames, data, tmp_path):
    path = write(tmp_path / "j", frames)
    ends = [0, *(frame.end for frame in read_frames(path))]
    stop = data.draw(st.integers(0, len(frames)))
    assert read(path, ends[stop]) == frames[stop:]


def test_a_lost_header_costs_no_frame(tmp_path):
    frames = [(1, b"one"), (2, b"two" * 1000), (3, b"")]
    path = write(tmp_path / "j", frames)
    raw = path.read_bytes()
    path.write_bytes(bytes(HEADER_BYTES) + raw[HEADER_BYTES:])
    assert read(path) == frames


def test_a_lost_header_and_a_damaged_first_frame_cost_no_other_frame(tmp_path):
    frames = [(1, b"one"), (2, b"two" * 1000), (3, b"")]
    path = write(tmp_path / "j", frames)
    raw = bytearray(path.read_bytes())
    raw[:HEADER_BYTES] = bytes(HEADER_BYTES)
    raw[HEADER_BYTES + len(MARK)] ^= 1  # in the salt, which no checksum covers
    path.write_bytes(raw)
    assert read(path) == frames[1:]


def test_a_journal_inside_a_payload_is_not_read_even_when_the_frame_around_it_is_damaged(tmp_path):
    inner = write(tmp_path / "inner", [(7, b"inner record")]).read_bytes()
    path = write(tmp_path / "outer", [(1, b"first"), (2, inner), (3, b"last")])
    raw = bytearray(path.read_bytes())
    raw[next(read_frames(path)).end + 12] ^= 1
    path.write_bytes(raw)
    assert read(path) == [(1, b"first"), (3, b"last")]


def test_a_copy_of_its_own_frames_inside_a_payload_is_not_read_again(tmp_path):
    folder = tmp_path / "j"
    folder.mkdir()
    writer = JournalWriter(folder, "s", segment_bytes=1 << 20, fsync_seconds=60)
    writer.append(1, b"first")
    first = next(read_frames(writer.path))
    writer.append(2, writer.path.read_bytes()[: first.end])
    writer.append(3, b"last")
    writer.close()
    raw = bytearray(writer.path.read_bytes())
    raw[first.end + 12] ^= 1
    writer.path.write_bytes(raw)
    assert read(writer.path) == [(1, b"first"), (3, b"last")]
    assert [(f.type, f.payload) for f in read_frames(writer.path, first.end, after=first.sequence)] == [(3, b"last")]


def test_reading_never_changes_the_file(tmp_path):
    path = write(tmp_path / "j", [(1, b"x" * 100)] * 5)
    raw = bytearray(path.read_bytes())
    raw[200] ^= 255
    path.write_bytes(raw)
    path.chmod(0o400)
    read(path)
    assert path.read_bytes() == raw


def test_damage_in_a_file_larger_than_the_read_buffer_is_skipped(tmp_path):
    frames = [(i % 7, bytes([i % 256]) * 70_000) for i in range(40)]
    path = write(tmp_path / "j", frames)
    ends = [frame.end for frame in read_frames(path)]
    raw = bytearray(path.read_bytes())
    raw[ends[9] : ends[19]] = bytes(ends[19] - ends[9])
    path.write_bytes(raw)
    assert read(path) == frames[:10] + frames[20:]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not a journal at all" * 100])
def test_a_file_without_frames_gives_none(content, tmp_path):
    path = tmp_path / "x.mlj"
    path.write_bytes(content)
    assert read(path) == []


def test_a_newer_version_is_refused_by_name(tmp_path):
    path = write(tmp_path / "j", [(1, b"x")])
    head = bytearray(path.read_bytes()[:28])
    head[8] = 9
    copy = bytes(head) + zlib.crc32(head).to_bytes(4, "little")
    path.write_bytes(copy + copy)
    with pytest.raises(StorageError, match="version 9") as caught:
        read(path)
    assert caught.value.where == str(path)


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot read"):
        read(tmp_path / "none.mlj")
