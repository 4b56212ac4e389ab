"""Whatever happens to the bytes of a journal, what is whole is read and nothing false is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal import JournalWriter, read_frames
from mlops_workbench.journal.format import HEADER_BYTES, MARK, pack_frame, pack_header

QUICK = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

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
    import zlib

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
