"""CelebA's archive as people have it: every row is used rightly or named, never read as something else."""

import shutil

import pytest

from model.attributes import ATTRIBUTES
from model.errors import InputError
from tests.conftest import CASES, make_archive
from training.data.annotations import read_annotations
from training.data.prepare import load_prepared, main, prepare_images

GOOD = read_annotations(CASES / "annotations" / "good.txt").rows
NAMES = [f"{number:06d}.jpg" for number in range(1, 11)]


def case(name: str):
    return read_annotations(CASES / "annotations" / f"{name}.txt")


def table(tmp_path, change):
    """The rows of good.txt, each a list of cells, with a change -> what is read of them."""
    lines = (CASES / "annotations" / "good.txt").read_text().splitlines()
    path = tmp_path / "list_attr_celeba.txt"
    path.write_text(change(lines), encoding="utf-8")
    return read_annotations(path)


def quoted(line: str) -> str:
    return ",".join(f'"{cell}"' for cell in line.split())


def test_a_good_table():
    assert list(GOOD.index) == NAMES and list(GOOD.columns) == list(ATTRIBUTES)
    assert not read_annotations(CASES / "annotations" / "good.txt").skipped
    lines = (CASES / "annotations" / "good.txt").read_text().splitlines()[2:]
    assert GOOD.to_numpy().tolist() == [[cell == "1" for cell in line.split()[1:]] for line in lines]


@pytest.mark.parametrize(
    "name, reason",
    [
        ("one_question_mark", "row with a value that is not 1 or -1"),
        ("short_row", "row with too few or too many values"),
    ],
)
def test_one_bad_row_costs_that_row_and_no_column(name, reason):
    annotations = case(name)
    assert annotations.skipped == {reason: ["000005.jpg"]}
    assert annotations.rows.equals(GOOD.drop(index="000005.jpg"))


def test_rows_are_held_against_their_count_and_each_other():
    annotations = case("fewer_rows_than_counted")
    lacking = [f"row {number}" for number in (7, 8, 9, 10)]
    assert annotations.skipped == {"row that the first line counts and the file lacks": lacking}
    assert annotations.rows.equals(GOOD[:6])
    annotations = case("one_row_twice")
    assert annotations.skipped == {"row named twice (the first counts)": ["000001.jpg"]} and annotations.rows.equals(
        GOOD
    )


def test_more_rows_than_counted_are_used_and_named(tmp_path):
    annotations = table(tmp_path, lambda lines: "\n".join(["8", *lines[1:]]))
    assert annotations.rows.equals(GOOD)
    assert annotations.skipped == {"row beyond the first line's count (used all the same)": NAMES[8:]}


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: "\r\n".join(lines) + "\r\n\r\n",
        lambda lines: "\ufeff" + "\n".join(lines),
        lambda lines: "\n".join(lines[1:]),
        lambda lines: "\n".join(lines).replace(" ", "\t"),
        lambda lines: "\n".join([lines[0], "image_id " + lines[1], *lines[2:]]),
        lambda lines: "\n".join(",".join(line.split()) for line in ["image_id " + lines[1], *lines[2:]]),
        lambda lines: "\n".join(quoted(line) for line in ["id " + lines[1], *lines[2:]]),
        lambda lines: "\n".join(lines).replace("-1", "0"),
        lambda lines: "\n".join(
            ",".join([str(number - 1) * bool(number), *line.split()])
            for number, line in enumerate(["image_id " + lines[1], *lines[2:]])
        ),
        lambda lines: "\n".join(
            [*lines[:2], *(line.replace(" 1", " 1.0").replace("-1", "-1.0") for line in lines[2:])]
        ),
        lambda lines: "\n".join(
            [lines[0], " ".join(reversed(lines[1].split()))]
            + [" ".join([line.split()[0], *reversed(line.split()[1:])]) for line in lines[2:]]
        ),
    ],
    ids=[
        "windows",
        "mark",
        "no count",
        "tabs",
        "named column",
        "kaggle",
        "quotes",
        "zeros",
        "pandas",
        "floats",
        "other order",
    ],
)
def test_the_same_table_in_other_clothes(tmp_path, change):
    assert table(tmp_path, change).rows.equals(GOOD)


def test_a_zero_beside_minus_ones_is_no_value(tmp_path):
    annotations = table(tmp_path, lambda lines: "\n".join([*lines[:2], lines[2].replace("-1", "0", 1), *lines[3:]]))
    assert annotations.skipped == {"row with a value that is not 1 or -1": ["000001.jpg"]}


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "not an annotation file"),
        ("10\n", "not an annotation file"),
        (f"1\n{' '.join(ATTRIBUTES)}\n", "no row"),
        (f"1\n{' '.join(ATTRIBUTES)}\n1.jpg ?\n", "no row"),
        (f"1\n{' '.join(ATTRIBUTES[:39])}\n1.jpg{' 1' * 39}\n", "40 attributes"),
        (f"{' '.join(ATTRIBUTES)}\n1.jpg{' 1' * 39}\n", "no row"),
        (f"{' '.join(ATTRIBUTES[:-1])} {ATTRIBUTES[0]}\n", "40 attributes"),
        ("000001.jpg 2880\n000002.jpg 2937\n", "40 attributes"),
        ("<html><body>404</body></html>", "40 attributes"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "40 attributes"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, text, words):
    with pytest.raises(InputError, match=words) as error:
        table(tmp_path, lambda lines: text)
    assert "\n" not in str(error.value)


# --- the files around it ----------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    """Eight faces that may be moved about."""
    return make_archive(tmp_path / "archive", 8)


def nested(archive):
    """Kaggle's archive."""
    (archive / "img_align_celeba").rename(archive / "inner")
    (archive / "img_align_celeba").mkdir()
    (archive / "inner").rename(archive / "img_align_celeba" / "img_align_celeba")
    text = (archive / "list_attr_celeba.txt").read_text().splitlines()[1:]
    lines = [",".join(("image_id " * (not number) + line).split()) for number, line in enumerate(text)]
    (archive / "list_attr_celeba.csv").write_text("\n".join(lines))
    (archive / "list_attr_celeba.txt").unlink()


def official(archive):
    for inside, name in (("Img", "img_align_celeba"), ("Anno", "list_attr_celeba.txt")):
        (archive / inside).mkdir()
        shutil.move(archive / name, archive / inside / name)


def without_ending(archive):
    path = archive / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace(".jpg", ""))


@pytest.mark.parametrize("layout", [nested, official, without_ending])
def test_archives_as_they_are_unpacked(archive, tmp_path, layout):
    prepare_images(archive, tmp_path / "before")
    before = load_prepared(tmp_path / "before")
    layout(archive)
    assert prepare_images(archive, tmp_path / "after") == {}
    after = load_prepared(tmp_path / "after")
    assert after.names == before.names and after.hash == before.hash and (after.images == before.images).all()


def test_copies_with_another_ending(archive, tmp_path):
    for path in sorted((archive / "img_align_celeba").iterdir()):
        # what is inside counts, not the ending
        path.rename(path.with_suffix(".png"))
    assert prepare_images(archive, tmp_path / "out") == {}
    assert load_prepared(tmp_path / "out").names == [f"{number:06d}.png" for number in range(1, 9)]


def test_a_packed_archive_is_named(archive, tmp_path):
    (archive / "img_align_celeba").rename(tmp_path / "elsewhere")
    (archive / "img_align_celeba.zip").write_bytes(b"PK")
    with pytest.raises(SystemExit, match="unpack img_align_celeba.zip first"):
        main(["images", "--data", str(archive), "--out", str(tmp_path / "out")])


def test_sources_of_other_columns_are_one_line(archive, tmp_path):
    (archive / "sources.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns image_id and geometry"):
        prepare_images(archive, tmp_path / "out")
