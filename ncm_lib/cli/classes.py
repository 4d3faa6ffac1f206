"""Options that say which classes there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..plan.classes import ClassList


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Which classes, and what they are kinds of."""

    classes: str | None = None
    """JSON file, text file with a name per line, image folder, names a,b,c, or a benchmark such as cub-200. Without it:
    those of --concepts, else those that the model's own folder lists."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): fills {metaclass} of the prompt."""

    def of(self, model: str, concepts: Path | None = None) -> ClassList:
        """The class list that is meant, with the words that the concepts in a folder have for its classes.

        Raises:
            InputError: there is none, it cannot be read, or the concepts lack one of its classes.
        """
        from ..concepts.read import read_concepts
        from ..engine.load import model_classes

        if concepts is not None:
            learned = read_concepts(concepts)
            asked = learned.classes if self.classes is None else ClassList.load(self.classes)
            return self.named(learned.classes_for(asked))
        classes = model_classes(model) if self.classes is None else ClassList.load(self.classes)
        if classes is None:
            raise InputError(
                f"The model {model} does not list classes of its own; give --classes "
                "(a JSON or text file, an image folder, or a,b,c)."
            )
        return self.named(classes)

    def named(self, classes: ClassList) -> ClassList:
        """A class list with the metaclass, where one is given."""
        return classes if self.meta_class is None else replace(classes, meta_class=self.meta_class)
