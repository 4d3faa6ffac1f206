"""Shape annotations: jaxtyping where it is installed (tests execute them), plain names where it is not (ComfyUI)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64, UInt8
    except ModuleNotFoundError:

        class _Unchecked:
            """Stands in for a jaxtyping dtype: subscripting gives the array type itself, unchecked."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Float = Float32 = Float64 = Int = Int32 = Int64 = UInt8 = _Unchecked

__all__ = ["Bool", "Float", "Float32", "Float64", "Int", "Int32", "Int64", "UInt8"]
