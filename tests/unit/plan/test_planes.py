from ncm_lib.maths.masks import Box
from ncm_lib.plan.planes import mask_planes
from ncm_lib.plan.sample import BoxMask


def test_a_mask_of_pixels_is_averaged_to_cells():
    mask = BoxMask(box=Box(0, 0, 3, 4), grid_height=4, grid_width=4, inside=0)
    assert mask_planes(mask, 2, 2).tolist() == [[[1, 0.5], [1, 0.5]], [[0, 0.5], [0, 0.5]]]
