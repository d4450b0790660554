"""A file that is there whole or not at all."""

import pytest

from skfsl.utils._atomic import write_whole


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*sub' to write 'a.bin'"):
        write_whole(tmp_path / "sub" / "a.bin", b"1")
    assert list(tmp_path.iterdir()) == []
