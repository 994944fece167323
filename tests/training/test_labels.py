"""Labels as spreadsheets write them: read rightly, or refused in a line that shows the row and the cure."""

import math
import unicodedata

import numpy as np
import pytest
from PIL import Image

from model.attributes import ATTRIBUTES
from model.errors import InputError
from tests.conftest import CASES
from training.data.labels import match_labels, read_labels
from training.data.prepare import load_prepared, main

ANNA, BOTH = {"anna.jpg": [1, 0]}, {"anna.jpg": [1, 0], "ben.png": [0, 1]}
CSV = "file,Smiling,Male\nanna.jpg,1,0\nben.png,0,1\n"


def read(tmp_path, data: str | bytes) -> dict[str, list[float]]:
    path = tmp_path / "labels.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return told(path)


def told(path) -> dict[str, list[float]]:
    frame = read_labels(path)
    assert list(frame.columns) == ["Smiling", "Male"]
    return {name: values.tolist() for name, values in frame.iterrows()}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("case", {"Anna.JPG": [1, 0]}),
        ("empty_rows", BOTH),
        ("excel_bom", BOTH),
        ("latin1", {"zoë.webp": [1, 0]}),
        ("mixed_names", {"7": [1, 0], "anna.jpg": [0, 1]}),
        ("numbers_without_ending", {"1": [1, 0], "2": [0, 1]}),
        ("one_empty_row", BOTH),
        ("semicolon", BOTH),
        ("spaces", ANNA),
        ("trailing_comma", BOTH),
        ("true_false", ANNA),
        ("yes_no", ANNA),
    ],
)
def test_cases(name, expected):
    assert told(CASES / "labels" / f"{name}.csv") == expected


@pytest.mark.parametrize(
    "data",
    [
        CSV.replace(",", "\t"),
        CSV.replace(",", "|"),
        CSV.encode("utf-16"),
        "sep=;\r\n" + CSV.replace(",", ";"),
        CSV.replace("Smiling,Male", "smiling, MALE "),
        CSV.replace("file", "Filename"),
        CSV.replace("file", "image_id"),
        CSV.replace("\n", "\r\n"),
        CSV.replace("\n", "\r"),
        CSV.replace("\n", "\n\n"),
        CSV.replace(",1", ",1.0").replace(",0", ",0.0"),
        CSV.replace(",", ";").replace("1;0", '"1,0";0,0'),
        CSV.replace("1,0", "Y,n").replace("0,1", "F,x"),
        '"file","Smiling","Male"\n"anna.jpg","1","0"\n"ben.png","0","1"\n',
        "Smiling,file,Male\n1,anna.jpg,0\n0,ben.png,1\n",
        CSV.rstrip("\n"),
        CSV.replace("1,0", "WAHR,FALSCH").replace("0,1", "non,✓"),
        CSV.replace("Smiling", " SMILING "),
        "\ufeff\n\n" + CSV,
    ],
)
def test_the_same_labels_in_other_clothes(tmp_path, data):
    assert read(tmp_path, data) == BOTH


def test_what_is_unknown_stays_unknown(tmp_path):
    labels = read(tmp_path, "file,Smiling,Male\na.jpg,,1\nb.jpg,?,n/a\nc.jpg,-1,0.5\n")
    assert math.isnan(labels["a.jpg"][0]) and labels["a.jpg"][1] == 1 and all(map(math.isnan, labels["b.jpg"]))
    assert labels["c.jpg"] == [-1, 0.5]


@pytest.mark.parametrize(
    "data, words",
    [
        (CASES / "labels" / "ragged.csv", r"line 2 \(anna.jpg, 1\): 2 values under 3 columns; .*empty between commas"),
        (CASES / "labels" / "empty.csv", "no column `file`.*write `file,"),
        ("anna.jpg,1,0\n", "none of the 40 attributes"),
        ("file,Happy,Male\na,1,1\n", "Happy is none of the 40"),
        ("file,,Male\na,1,1\n", "a column without a name"),
        ("file,Male,male\na,1,1\n", "the column Male twice"),
        ("file,Smiling,Male\na,1,maybe\n", r"line 2 \(a, 1, maybe\): 'maybe' is none of"),
        ("file,Smiling,Male\na,1,inf\n", "'inf' is none of"),
        ("file,Smiling,Male\na,1,1\na,0,1\n", "line 3.*a is named twice; remove"),
        ("file,Smiling,Male\n,1,1\n", "the file name is missing"),
        ("file,Smiling,Male\na,0,5,1\n", "decimal comma in quotes"),
        (b"PK\3\4" + bytes(60), "save it as CSV"),
        (b"\xd0\xcf\x11\xe0" + bytes(60), "save it as CSV"),
        ("file,Smiling,Male\na,100%,1\n", "'100%' is none of"),
        ('file,Smiling,Male\n"a,1,1\nb,0,1\n', "3 columns|1 values"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_row_and_cure(tmp_path, data, words):
    if isinstance(data, str | bytes):
        (tmp_path / "labels.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    path = tmp_path / "labels.csv" if isinstance(data, str | bytes) else data
    with pytest.raises(InputError, match=words) as error:
        read_labels(path)
    assert "\n" not in str(error.value)


def test_a_folder_for_a_file():
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(CASES)


# --- which picture is meant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label, picture",
    [
        ("Anna.JPG", "anna.jpg"),
        ("anna", "anna.jpg"),
        ("1", "000001.jpg"),
        ("000001", "000001.jpg"),
        ("000001.jpg", "000001.jpg"),
        (unicodedata.normalize("NFC", "zoë.webp"), unicodedata.normalize("NFD", "zoë.webp")),
        (unicodedata.normalize("NFD", "zoë.webp"), unicodedata.normalize("NFD", "zoë.webp")),
        ("C:\\pictures\\anna.jpg", "anna.jpg"),
        ("./faces/anna", "anna.jpg"),
        ("anna.png", None),
        ("anna.jpeg", None),
        ("2", None),
        ("", None),
    ],
)
def test_a_name_finds_its_picture(label, picture):
    pictures = ["anna.jpg", "000001.jpg", unicodedata.normalize("NFD", "zoë.webp")]
    assert match_labels([label], pictures) == ({label: picture} if picture else {})


def test_names_that_are_not_clear_are_refused():
    with pytest.raises(InputError, match="7 fits 7.jpg and 7.png"):
        match_labels(["7"], ["7.jpg", "7.png"])
    with pytest.raises(InputError, match="1 and 000001.jpg both mean 000001.jpg"):
        match_labels(["1", "000001.jpg"], ["000001.jpg"])
    assert match_labels(["7.png"], ["7.jpg", "7.png"]) == {"7.png": "7.png"}
    assert match_labels(["a.jpg", "A.jpg"], ["a.jpg", "A.jpg"]) == {"a.jpg": "a.jpg", "A.jpg": "A.jpg"}


def test_labels_and_pictures_of_a_folder_end_in_rows(tmp_path, tiny_weights, capsys):
    """The whole way, with the pictures that people have among them."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in (1, 2):
        Image.new("RGB", (80, 90), (200, 150, 60 * number)).save(mine / f"{number:06d}.jpg")
    for path in (CASES / "pictures").iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    (mine / "empty.jpg").write_bytes(b"")
    (mine / "inner").mkdir()
    (tmp_path / "labels.csv").write_text("file;Smiling;Male\n1;yes;no\n2;no;yes\nnobody.png;1;1\n")
    command = ["folder", "--data", str(mine), "--labels", str(tmp_path / "labels.csv"), "--weights", str(tiny_weights)]
    main([*command, "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "no picture: 2 (empty.jpg, inner)" in said and "label without a picture: 1 (nobody.png)" in said
    prepared = load_prepared(tmp_path / "out")
    assert len(prepared.names) == 2 + len(list((CASES / "pictures").iterdir()))
    columns = [ATTRIBUTES.index(name) for name in ("Smiling", "Male")]
    assert np.array_equal(prepared.attributes[:2][:, columns].numpy(), [[True, False], [False, True]])
