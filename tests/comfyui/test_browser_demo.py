"""What a person does first: find the demo among the templates, press Run, and look at the pictures.

With ``NCM_SCREENSHOTS=docs`` the pictures of the README are taken anew on the way.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from .test_workflows import FOLDER, empty_cache

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.slow

# How many pictures each node shows, and their sizes.
SHOWN = {
    "NCM_CutMixMask": (4, 144, 194),
    "NCM_SoftLabel": (4, 144, 194),
    "NCM_SoftLabelWriter": (4, 64, 64),
    "PreviewImage": (4, 256, 256),
}
IMAGES = """(type) => app.graph.nodes.filter((node) => node.type === type).flatMap(
    (node) => (node.imgs ?? []).map((image) => [image.naturalWidth, image.naturalHeight]))"""
ALL_LOADED = f"""([type, count]) => {{
    const sizes = ({IMAGES})(type);
    return sizes.length === count && sizes.every(([width]) => width > 0);
}}"""
# Nothing but the graph, at its own size, so that all text is drawn.
SHOW_THE_GRAPH = """async (margin) => {
    const settings = {"Comfy.Minimap.Visible": false, "Comfy.Graph.CanvasInfo": false, "Comfy.Graph.CanvasMenu": false};
    for (const [id, value] of Object.entries(settings)) await app.extensionManager.setting.set(id, value);
    app.extensionManager.focusMode = true;
    const boxes = [...app.graph.nodes, ...app.graph.groups].map((item) => [...item.boundingRect]);
    const [left, top] = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])));
    const [right, bottom] = [0, 1].map((axis) => Math.max(...boxes.map((box) => box[axis] + box[axis + 2])));
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [margin - left, margin - top];
    app.canvas.setDirty(true, true);
    return {width: Math.ceil(right - left) + 2 * margin, height: Math.ceil(bottom - top) + 2 * margin};
}"""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
LARGEST = 300_000


def take_picture(shown: Page | Locator, name: str) -> None:
    """Keep a picture, if pictures are wanted."""
    if not (folder := os.environ.get("NCM_SCREENSHOTS")):
        return
    file = Path(folder, f"{name}.png")
    with Image.open(io.BytesIO(shown.screenshot())) as picture:
        # links of a pixel's width keep their colours
        small = picture.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
        )
    small.save(file, optimize=True)
    assert file.stat().st_size < LARGEST


def test_the_demo_is_among_the_templates_and_runs_at_one_click(comfy_page, server):
    empty_cache(server)
    page = comfy_page.page
    # ComfyUI's own templates are a package that is not installed here; frontends before 1.29 offer none without it
    page.route("**/templates/index.json", lambda route: route.fulfill(json=[]))
    page.get_by_role("button", name="Templates").click()
    card = page.get_by_test_id("template-workflow-noisecutmix_demo")
    picture = card.locator("img").first
    picture.wait_for()
    with Image.open(FOLDER / "noisecutmix_demo.jpg") as thumbnail:
        page.wait_for_function(
            "([image, width]) => image.naturalWidth === width", arg=[picture.element_handle(), thumbnail.width]
        )

    card.click()
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'NCM_DualPromptMixedSampler')")
    outputs = server.wait(comfy_page.run())["outputs"]

    for kind, (count, width, height) in SHOWN.items():
        page.wait_for_function(ALL_LOADED, arg=[kind, count])
        assert page.evaluate(IMAGES, kind) == [[width, height]] * count, kind
    assert sum(len(shown.get("images", [])) for shown in outputs.values()) == sum(count for count, *_ in SHOWN.values())

    if "NCM_SCREENSHOTS" in os.environ:
        page.set_viewport_size(page.evaluate(SHOW_THE_GRAPH, 20))
        page.evaluate(DRAWN)
        page.evaluate(SHOW_THE_GRAPH, 20)
        page.evaluate(DRAWN)
    take_picture(page, "noisecutmix_demo")
