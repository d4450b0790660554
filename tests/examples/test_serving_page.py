"""The page of examples/serving, in a headless Chromium."""

import os
import re
import shutil
from pathlib import Path

import pytest

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # A moving pattern in the place of a camera, and no question whether it may be used.
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page is tried by playwright"
    )
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("the page is tried in Chromium: none is there, CHROMIUM= names one")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, client):
    """Return the page, as wide as a phone; it raises no error and asks nobody else."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: "Policy" not in m.text or wrong.append(m.text))
    here = f"http://127.0.0.1:{client.port}/"
    ours = (here, "blob:", "data:")
    page.on("request", lambda r: r.url.startswith(ours) or wrong.append(r.url))
    page.goto(f"{here}#token=a-token-for-tests")
    page.wait_for_selector("#classes details")
    before = client.classes()
    yield page
    context.close()
    for label in set(client.classes()) - set(before):
        client("DELETE", f"/classes/{label}")
    assert not wrong
    assert client.classes() == before


def image(picture, color, seed=0):
    return {"name": "a.png", "mimeType": "image/png", "buffer": picture(color, seed)}


def said(page, text):
    page.wait_for_function("t => document.body.innerText.includes(t)", arg=text)


def test_a_picture_is_answered(page, picture):
    assert page.url.endswith("/")  # the token is not left in the address
    page.set_input_files("#ask", image(picture, "green", 50))
    page.wait_for_selector(".answer .label")
    assert page.inner_text(".answer .label") == "green"
    assert re.search(r"\d+ % sure", page.inner_text("#answer"))
    assert page.locator("#answer .strip img").count() == 6
    # Nothing is wider than a phone.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_wrong_answer_is_corrected_by_one_click(page, picture, client):
    page.set_input_files("#ask", image(picture, "green", 51))
    button = page.locator("#answer button.correct").first
    label = button.inner_text()
    assert label != "green"
    before = client.classes()
    button.click()
    said(page, f"Added to {label}.")
    (added,) = set(client.classes()[label]) - set(before[label])
    # The picture itself is the nearest now: it is taken out where it is seen.
    page.locator("#answer .strip button").first.click()
    assert page.inner_text("#sample-label") == label
    page.click("#sample button[value=remove]")
    said(page, "Corrected.")
    assert added not in client.classes()[label]


def test_a_class_is_added_relabelled_and_deleted_by_keyboard(page, picture, client):
    page.focus("#name")
    page.keyboard.type("<b>grey</b>")
    page.set_input_files("#files", [image(picture, (100, 100, 100), i) for i in (1, 2)])
    page.wait_for_selector("#tray img >> nth=1")
    page.focus("#add-now")
    page.keyboard.press("Enter")
    said(page, "<b>grey</b> is known now.")
    assert page.locator("#classes b").count() == 0  # labels are text
    summary = page.locator("#classes summary", has_text="<b>grey</b>")
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("#classes details[open] .strip button").first.focus()
    page.keyboard.press("Enter")
    page.focus("#right")
    page.keyboard.type("gray")
    page.keyboard.press("Enter")
    said(page, "Corrected.")
    assert [len(client.classes()[y]) for y in ("gray", "<b>grey</b>")] == [1, 1]
    for label in ("gray", "<b>grey</b>"):
        details = page.locator("#classes details", has=page.get_by_text(label))
        details = details.filter(has_text=re.compile(f"^{re.escape(label)} 1 picture"))
        if not details.evaluate("d => d.open"):
            details.locator("summary").focus()
            page.keyboard.press("Enter")
        details.get_by_role("button", name=f"Delete {label}").focus()
        page.keyboard.press("Enter")
        page.locator("#sure button[value=yes]").focus()
        page.keyboard.press("Enter")
        said(page, f"{label} is deleted.")


def test_the_camera_adds_and_asks(page, client):
    for name in ("add", "ask"):
        page.click(f"#{name}-camera")
        page.wait_for_function(  # not a string, which the policy would not evaluate
            "id => document.querySelector(id)?.videoWidth > 0",
            arg=f"#{name}-live video",
        )
        page.click(f"#{name}-live button")
        if name == "add":
            page.fill("#name", "pattern")
            page.wait_for_selector("#tray img")
            page.click("#add-now")
            said(page, "pattern is known now.")
    page.wait_for_selector(".answer .label")
    assert page.inner_text(".answer .label") == "pattern"
    assert len(client.classes()["pattern"]) == 1


def test_errors_are_said(page, picture):
    bad = {"name": "a.png", "mimeType": "image/png", "buffer": b"text"}
    page.set_input_files("#ask", bad)
    said(page, "The image cannot be read")
    page.fill("#token", "wrong")
    page.fill("#name", "new")
    page.set_input_files("#files", image(picture, "red"))
    page.click("#add-now")
    said(page, "This asks for the token")
    assert page.evaluate("document.activeElement.id") == "token"


def test_screenshot(page, picture, tmp_path):
    keep = os.environ.get("SCREENSHOTS")
    if not keep:
        pytest.skip("SCREENSHOTS= names a folder for pictures of the page")
    page.set_input_files("#ask", image(picture, "green", 50))
    page.wait_for_selector(".answer .label")
    page.locator("#classes summary").first.click()
    page.screenshot(path=str(Path(keep) / "page.png"), full_page=True)
