"""What examples/serving does without HTTP, where failures can be made."""

import os
from pathlib import Path

import numpy as np
import pytest

from skfsl import SiameseTransformer

SERVING = Path(__file__).parents[2] / "examples" / "serving"


@pytest.fixture
def service(folder, monkeypatch):
    monkeypatch.syspath_prepend(SERVING)
    from service import Service

    service = Service(folder)
    yield service
    service.close()


@pytest.mark.parametrize("last", [0, 2], ids=["picture", "journal"])
def test_a_full_disk_stops_writing_only(service, picture, folder, last):
    gray, before, real = picture((120, 120, 120), 0), service.classes(), os.fsync
    left = last

    def full(descriptor):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for _ in range(2):
            with pytest.raises(
                Exception, match=r"Nothing can be stored.*No space"
            ) as e:
                service.add("gray", [gray])
            assert (e.value.status, service.writable) == (507, False)
            assert service.predict(picture("red", 9))["label"] == "red"
    (name,) = service.add("violet", [gray])
    assert service.writable
    # The failed one may have reached the disk: it was not acknowledged, nor denied.
    after = service.classes()
    assert {**after, "gray": []} == {**before, "violet": [name], "gray": []}
    stored = {path.stem for path in (folder / "images").iterdir()}
    assert stored == {i for ids in after.values() for i in ids}


def test_starting_embeds_no_picture_again(folder, service, picture, monkeypatch):
    from service import Service

    query = picture("red", 9)
    expected = service.predict(query)
    service.close()
    with monkeypatch.context() as patch:
        patch.setattr(SiameseTransformer, "transform", None)
        again = Service(folder)
    assert again.predict(query) == expected
    again.close()


def test_a_picture_that_is_gone_is_shown_nowhere_and_counts(folder, service, picture):
    (first, *others) = service.classes()["red"]
    service.picture(first).unlink()
    red = picture("red", 9)
    familiar = service.predict(red)["familiarity"]
    service.add("gray", [picture((120, 120, 120), 0)])
    assert service.classes()["red"] == others
    service.remove_class("gray")
    assert service.predict(red)["familiarity"] == familiar
    service.remove(first)
    assert service.predict(red)["familiarity"] != familiar


def test_there_is_a_limit_to_what_is_stored(service, picture):
    from service import Limits

    service.limits = Limits(max_samples=sum(map(len, service.classes().values())) + 1)
    gray = picture((120, 120, 120), 0)
    with pytest.raises(Exception, match="more than 25 samples") as error:
        service.add("gray", [gray, gray])
    assert error.value.status == 409
    (name,) = service.add("gray", [gray])
    with pytest.raises(Exception, match="more than 25 samples"):
        service.add("gray", [gray])
    assert service.classes()["gray"] == [name]


def test_what_is_stored_is_what_the_model_sees(service, picture):
    (name,) = service.add("gray", [picture((120, 120, 120), 3, "JPEG")])
    image = service.read(picture((120, 120, 120), 3, "JPEG"))
    np.testing.assert_array_equal(
        service.read(service.picture(name).read_bytes()), image
    )
