"""The maths is the ground floor: what it may import, and that it works without the shape checker."""

import subprocess
import sys

ALONE = """
import sys
sys.modules["jaxtyping"] = sys.modules["beartype"] = None
from ncm_lib import maths
masks = maths.sample_cutmix_masks(2, 4, 4)
maths.mix_predictions([masks.mask, masks.mask], [masks.mask, 1 - masks.mask])
maths.forward_noise(masks.mask, 3, seed=0, schedule=maths.LinearSchedule())
maths.slerp(masks.mask + 1, masks.mask + 2, 0.5)
above = {"diffusers", "transformers", "peft", "pydantic", "tyro", "safetensors", "PIL"} & set(sys.modules)
assert not above, above
assert not [name for name in sys.modules if name.startswith("ncm_lib.") and name.split(".")[1] not in
            ("maths", "errors", "typing")]
"""


def test_it_needs_torch_numpy_and_scipy_only():
    result = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_the_public_names_are_sorted_and_exist():
    from ncm_lib import maths

    assert maths.__all__ == sorted(maths.__all__)
    assert all(hasattr(maths, name) for name in maths.__all__)
