"""Files of watch lists: what is read, and what is refused in one sentence."""

from pathlib import Path

import pytest

from autointerp.errors import UserError
from autointerp.watch import lists

PAIRS = "\n".join(f'[[pairs]]\nconcerning = "bad {n}"\nbenign = "good {n}"' for n in range(4))
GOOD = f'about = "Nothing good."\nterms = ["Bad", "worse"]\n{PAIRS}\n'


def write(folder: Path, name: str, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return str(folder)


def test_a_folder_is_read_in_the_order_of_its_files_and_its_own_description_is_no_list(tmp_path: Path) -> None:
    write(tmp_path, "zeal.toml", GOOD)
    write(tmp_path, "dataset.toml", 'summary = "lists"\n')
    path = write(tmp_path, "bad.toml", GOOD)
    found = lists.read(path)
    assert [one.name for one in found] == ["bad", "zeal"]
    assert found[0].about == "Nothing good." and len(found[0].pairs) == 4
    assert (found[0].pairs[2].concerning, found[0].pairs[2].benign) == ("bad 2", "good 2")
    assert set(lists.hashes(path)) == {"bad.toml", "zeal.toml"}


def test_an_explanation_names_what_is_watched_by_whole_words_in_any_case(tmp_path: Path) -> None:
    one = lists.read(write(tmp_path, "bad.toml", GOOD))[0]
    assert one.named_in("fires on BAD things") and one.named_in("worse, than that")
    assert not one.named_in("badly worsened") and not one.named_in("")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("about = \n", "bad.toml cannot be read"),
        ('about = "x"\nterms = []\n', "bad.toml pairs cannot be so"),
        (GOOD + '[[pairs]]\nconcerning = "bad 9"\n', "bad.toml pairs.4.benign cannot be so"),
        (GOOD + '[[pairs]]\nconcerning = ""\nbenign = "b"\n', "bad.toml pairs.4.concerning cannot be so"),
        (GOOD + '[[pairs]]\nconcerning = "good 1"\nbenign = "b"\n', "has the text 'good 1' twice"),
        ("oops = 1\n" + GOOD, "oops cannot be so"),
        (GOOD.partition("[[pairs]]")[0] + 'pairs = [{concerning = "a", benign = "b"}]', "pairs cannot be so"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match="ou asked to watch") as refused:
        lists.read(write(tmp_path, "bad.toml", text))
    assert said in str(refused.value)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no .toml"):
        lists.read(write(tmp_path, "notes.txt", "no list"))
    with pytest.raises(UserError, match="it holds no list"):
        lists.read(write(tmp_path, "dataset.toml", 'summary = "lists"\n'))


def test_the_shipped_lists_are_read() -> None:
    found = lists.read("watch")
    assert {"deception", "secrecy", "self_reference", "bias", "dangerous_code"} <= {one.name for one in found}
    assert all(one.terms and one.about for one in found)
