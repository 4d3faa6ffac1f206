"""What is wrong with options, in words of our own."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ncm_lib.plan.plain_words import plain_words


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    keep: float = Field(default=0.9, gt=0, le=1, allow_inf_nan=False)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    epochs: int = Field(default=1, ge=1)
    flip: bool = False
    crop: Literal["center", "random"] = "center"
    shots: tuple[int | Literal["all"], ...] = Field(default=(1,), min_length=1)
    tables: dict[str, Inner] = {}
    rows: tuple[Inner, ...] = ()
    own: Inner | None = None

    @model_validator(mode="after")
    def _even(self) -> Options:
        if self.epochs == 13:
            raise ValueError("13 brings bad luck.")
        return self


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"epoch": 2}, "there is no option 'epoch'; did you mean 'epochs'?"),
        ({"zzz": 2}, "there is no option 'zzz'; there are crop, epochs, flip, own, rows, shots, tables"),
        ({"epochs": 0}, "epochs is 0; it takes 1 or more"),
        ({"epochs": "two"}, "epochs is 'two'; it takes a whole number"),
        ({"epochs": 1.5}, "epochs is 1.5; it takes a whole number"),
        ({"epochs": 13}, "13 brings bad luck"),
        ({"flip": "perhaps"}, "flip is 'perhaps'; it takes true or false"),
        ({"crop": "left"}, "crop is 'left'; it takes 'center' or 'random'"),
        ({"shots": []}, "shots is []; it takes a list with an entry or more"),
        ({"shots": 5}, "shots is 5; it takes a list"),
        ({"shots": [5, "al"]}, "shots.1 is 'al'; it takes a whole number or 'all'"),
        ({"tables": {"a": 3}}, "tables.a is 3; it takes a table"),
        ({"tables": {"a": {}}}, "tables.a.model is missing"),
        ({"tables": {"a": {"model": "m", "kep": 1}}}, "tables.a: there is no option 'kep'; did you mean 'keep'?"),
        (
            {"tables": {"epochs": {"kep": 1, "model": "m"}}},
            "tables.epochs: there is no option 'kep'; did you mean 'keep'?",
        ),
        ({"rows": [{"model": "m"}, {"model": 3}]}, "rows.1.model is 3; it takes a text"),
        ({"rows": [{"model": "m", "x": 3}]}, "rows.0: there is no option 'x'; there are keep, model"),
        ({"own": {"model": "m", "kepp": 3}}, "own: there is no option 'kepp'; did you mean 'keep'?"),
        ({"own": {"model": "m", "keep": 0}}, "own.keep is 0; it takes a number above 0"),
        ({"own": {"model": "m", "keep": 2.0}}, "own.keep is 2.0; it takes 1 or less"),
        ({"own": {"model": "m", "keep": float("nan")}}, "own.keep is nan; it takes a finite number"),
        ({"own": {"model": "m", "keep": "x" * 80}}, f"own.keep is '{'x' * 59}...; it takes a number"),
    ],
)
def test_it_says_where_it_stands_what_came_and_what_is_legal(content: dict[str, Any], text: str):
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(content)
    assert plain_words(caught.value, Options, content) == text


def test_a_kind_of_fault_that_has_no_words_still_says_where_and_what():
    class Other(BaseModel):
        name: str = Field(pattern="^a")

    with pytest.raises(ValidationError) as caught:
        Other.model_validate({"name": "b"})
    assert plain_words(caught.value, Other, {"name": "b"}) == "name is 'b', which is not legal"
