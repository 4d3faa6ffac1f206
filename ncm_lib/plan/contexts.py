"""Suffixes from captions by counting: which surroundings and doings occur most often."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .classes import ClassList

_ARTICLES = frozenset({"a", "an", "the"})
_DETERMINERS = _ARTICLES | {"his", "her", "its", "their", "some", "this", "these", "that", "those", "two", "three"}
_PREPOSITIONS = frozenset({
    "above", "across", "against", "along", "amid", "among", "around", "at", "atop", "before", "behind", "below",
    "beneath", "beside", "between", "by", "from", "in", "inside", "into", "near", "next", "on", "onto", "outside",
    "over", "past", "through", "toward", "towards", "under", "underneath", "upon", "within",
})  # fmt: skip
_PARTICLES = frozenset({"away", "down", "off", "out", "up"})
_BREAKS = frozenset({
    "as", "has", "have", "is", "are", "was", "were", "while", "which", "who", "with", "without",
})  # fmt: skip
# words in -ing that are things
_THINGS = frozenset({
    "awning", "bedding", "building", "ceiling", "clothing", "crossing", "decking", "dressing", "evening", "frosting",
    "fencing", "flooring", "icing", "king", "landing", "lightning", "lining", "morning", "nothing", "opening",
    "painting", "parking", "paving", "piping", "railing", "ring", "roofing", "shavings", "sling", "something",
    "spring", "string", "swing", "thing", "topping", "tubing", "wedding", "wing", "wrapping",
})  # fmt: skip
_NO_END = _DETERMINERS | _PREPOSITIONS | {"and", "or", "of", "to", "very", "other"}
# places in a picture, not in the world
_NO_PLACE = frozenset({
    "back", "background", "camera", "center", "centre", "distance", "foreground", "front", "image", "middle", "photo",
    "picture", "side", "top",
})  # fmt: skip
_FAR = frozenset({("in", "background"), ("in", "foreground"), ("in", "distance")})
_LONGEST = 8
_CLAUSE = re.compile(r"[.,;:!?()\"]+")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True, kw_only=True)
class Context:
    """Words that captions share, and in how many of them they occur."""

    text: str
    captions: int


def frequent_contexts(captions: Iterable[str], classes: ClassList | None, *, count: int) -> tuple[Context, ...]:
    """Find the most frequent contexts of English captions, as suffixes for Diff-II.

    The rule, the same in every run:

    1. A caption is cut at punctuation. A context begins at a preposition ("over", "next to"), or at a word in -ing or
       -ed that a preposition follows ("flying over", "covered in"; in -ing also before an article or at the end), and
       goes on to the next one's beginning, or to "with", "while", "and" before another, "is" and the like.
    2. "with ..." is what something has, not where it is, and no context; but "with ... in the background" is one.
    3. Left out: contexts with a word of the classes (each name's last word, and the metaclass's, singular and plural),
       those that end with a place in the picture ("in the middle"), and those of more than 8 words.
    4. Contexts that differ in articles only are one, in its most frequent form. Each counts once per caption.

    Args:
        captions: one per image.
        classes: whose words are left out; None knows of none.
        count: how many at most, at least 1.

    Returns:
        Contexts by falling number of captions, then by the alphabet.

    Example:
        >>> captions = ["a robin flying over water", "a wren flying over the water", "a wren on a branch with leaves"]
        >>> [context.text for context in frequent_contexts(captions, ClassList.of(["robin", "wren"]), count=5)]
        ['flying over the water', 'on a branch']
    """
    forbidden = _words_of(classes)
    forms: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter[str])
    for caption in captions:
        found: dict[tuple[str, ...], str] = {}
        for words in _contexts(caption):
            if len(words) <= _LONGEST and forbidden.isdisjoint(words):
                found.setdefault(_without_articles(words), " ".join(words))
        for key, text in found.items():
            forms[key][text] += 1
    contexts = [
        Context(text=min(texts, key=lambda text: (-texts[text], text)), captions=texts.total())
        for texts in forms.values()
    ]
    return tuple(sorted(contexts, key=lambda context: (-context.captions, context.text))[:count])


@dataclass
class _Span:
    """Words of a caption that may be a context."""

    words: list[str] = field(default_factory=list[str])
    open: bool = True
    """Nothing but prepositions and words in -ing so far: the next preposition belongs to it."""


def _contexts(caption: str) -> Iterator[list[str]]:
    for clause in _CLAUSE.split(caption.lower()):
        spans = _spans(_WORD.findall(clause))
        for place, span in enumerate(spans):
            follower = spans[place + 1].words if place + 1 < len(spans) else []
            if span.words[0] != "with":
                words = _trimmed(span.words)
                if words and words[-1] not in _NO_PLACE and (len(words) > 1 or _is_doing(words[0])):
                    yield words
            elif _without_articles(follower) in _FAR:
                yield [*span.words, *follower]


def _spans(words: list[str]) -> list[_Span]:
    spans: list[_Span] = []
    current: _Span | None = None
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        after = words[place + 1] if place + 1 < len(words) else ""
        doing = _is_doing(word, before, after)
        if word in _BREAKS:
            current = _Span([word], open=False) if word == "with" else None
            if current is not None:
                spans.append(current)
        elif doing or word in _PREPOSITIONS:
            if current is None or not current.open:
                current = _Span()
                spans.append(current)
            current.words.append(word)
        elif current is not None:
            current.words.append(word)
            current.open = current.open and word in _PARTICLES
    return spans


def _is_doing(word: str, before: str = "", after: str = "") -> bool:
    """Whether a word in -ing or -ed tells what the subject does."""
    if len(word) < 5 or before in _DETERMINERS or word in _THINGS:
        return False
    follows = after in _PREPOSITIONS or after in _PARTICLES
    return (word.endswith("ed") and follows) or (
        word.endswith("ing") and (follows or not after or after in _DETERMINERS or after == "and")
    )


def _trimmed(words: list[str]) -> list[str]:
    end = len(words)
    while end and words[end - 1] in _NO_END:
        end -= 1
    return words[:end]


def _without_articles(words: list[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _ARTICLES)


def _words_of(classes: ClassList | None) -> frozenset[str]:
    """The last word of each name and of the metaclass, singular and plural."""
    if classes is None:
        return frozenset()
    texts = (*classes.names, classes.meta_class)
    heads = [found[-1] for text in texts if (found := _WORD.findall(text.lower().replace("_", " ")))]
    singular = [head[:-1] for head in heads if head.endswith("s") and len(head) > 3]
    return frozenset(form for head in (*heads, *singular) for form in (head, f"{head}s", f"{head}es"))
