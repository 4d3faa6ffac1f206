"""One small adapter per model family: the only code that knows a family's components."""

from .base import Family as Family
from .flux import Flux1 as Flux1
from .stable_diffusion import StableDiffusion1 as StableDiffusion1
from .stable_diffusion_3 import StableDiffusion3 as StableDiffusion3
from .stable_diffusion_xl import StableDiffusionXL as StableDiffusionXL
