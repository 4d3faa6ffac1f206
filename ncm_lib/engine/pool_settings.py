"""Settings of a run that starts from a pool of inversions: those that the inversions were made with."""

from __future__ import annotations

from ..errors import InputError
from ..sources.pool import InversionPool
from .settings import RenderSettings


def settings_for_pool(
    settings: RenderSettings, pool: InversionPool, *, prompt: str, fingerprint: str
) -> RenderSettings:
    """Fit settings to a pool, or refuse where its inversions would not denoise to what they were.

    Args:
        settings: size and spacing that are not given become the pool's.
        pool: of inversions.
        prompt: the template of the plan.
        fingerprint: of the model that is to denoise.

    Returns:
        The settings with the pool's height and width, and with its spacing where that is "leading".

    Raises:
        InputError: another model, prompt, size, or a grid that begins elsewhere; the message has both values.
    """
    head = pool.head
    if head.model_fingerprint != fingerprint:
        raise InputError(
            f"The pool {pool.path} was made with another model: that one's fingerprint is "
            f"{head.model_fingerprint[:12]}, this model's is {fingerprint[:12]}. Give the model that inverted it, "
            "or invert the images with this one."
        )
    if head.prompt != prompt:
        raise InputError(
            f"The pool {pool.path} was inverted under the prompt {head.prompt!r}, and the plan's is {prompt!r}; an "
            "inversion denoises to its image under its own prompt. Take the pool's, or invert under the other."
        )
    for name, asked, made in (("height", settings.height, head.height), ("width", settings.width, head.width)):
        if asked not in (None, made):
            raise InputError(
                f"The images of the pool {pool.path} were inverted at a {name} of {made} and the run's is {asked}; "
                f"leave --{name} out, or invert at that size."
            )
    spacing = settings.timestep_spacing
    # "leading" ends below the noisiest level, where the other two begin
    if spacing == "auto" and head.timestep_spacing == "leading":
        spacing = "leading"
    elif (spacing == "leading") != (head.timestep_spacing == "leading"):
        raise InputError(
            f"The pool {pool.path} was inverted on a {head.timestep_spacing!r} grid and the run's timestep_spacing is "
            f"{spacing!r}; the two do not meet at the noise. Leave --timestep-spacing out, or invert on the other grid."
        )
    return settings.model_copy(
        update={"height": head.height, "width": head.width, "timestep_spacing": spacing},
    )
