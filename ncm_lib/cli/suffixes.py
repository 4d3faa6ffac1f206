"""``ncm suffixes``: what to put behind the prompts of Diff-II."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..wording import counted

if TYPE_CHECKING:
    from ..sources.captions import Caption

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Suffixes:
    """Write a file of suffixes for `ncm generate diff-ii --suffixes`: text, one per line.

    Captions come from a captioner that looks at the images, or from a file. Suffixes are the captions' most frequent
    contexts ("flying over water"), found by counting, or what a program of yours makes of the captions.

    For example:

    - ncm suffixes --data birds --captioner Salesforce/blip-image-captioning-base --out suffixes.txt
    - ncm suffixes --captions captions.jsonl --out suffixes.txt --count 20
    - ncm suffixes --captions captions.jsonl --out suffixes.txt --llm-command "ollama run llama3.2 'Sum the captions up
      as 20 phrases like: flying over water. One per line, nothing else.'"
    """

    out: Path
    """The file to write; one that holds other suffixes is refused."""
    data: Path | None = None
    """The real images to caption: what `ncm invert` takes. Without it: the captions that are there."""
    captioner: str | None = None
    """With --data: a folder with a BLIP captioner as transformers saves it, or its hub id."""
    captions: Path | None = None
    """JSON lines with a caption per image; continued where images are missing in it. Without it: captions.jsonl beside
    --out."""
    count: int = 50
    """How many suffixes, at most."""
    classes: str | None = None
    """JSON or text file, image folder, or names a,b,c, whose words no suffix may have. Without it: the classes of the
    captions."""
    meta_class: str | None = None
    """What the classes are kinds of (bird, aircraft): no suffix may have that word either."""
    llm_command: str | None = None
    """A program and its arguments, in quotes, started without a shell: it reads the captions on standard input, one per
    line, and writes suffixes, one per line. Without it: suffixes are found by counting."""
    llm_timeout: float = 600.0
    """Seconds until that program is ended."""
    batch_size: int = 8
    """Images that the captioner looks at together."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps: of the captioner. Without it: the best one there is."""
    bad_images: Literal["refuse", "skip"] = "refuse"
    """What becomes of files that cannot be used as images: the end, or a note."""

    def __call__(self) -> int:
        """Run the command; the exit code."""
        from ..errors import InputError
        from ..store.disk import plain_errors, replace_bytes

        if self.count < 1 or not self.llm_timeout > 0:
            raise InputError(f"--count is {self.count} and --llm-timeout {self.llm_timeout}; both must be above 0.")
        captions = self._captions()
        texts = [caption.caption for caption in captions if caption.caption.strip()]
        if not texts:
            raise InputError("There are no captions to find suffixes in.")
        suffixes = self._counted(captions) if self.llm_command is None else self._asked(self.llm_command, texts)
        data = "".join(f"{suffix}\n" for suffix in suffixes).encode()
        with plain_errors(self.out):
            if self.out.exists() and self.out.read_bytes() != data:
                raise InputError(f"{self.out} holds something else already; delete it, or take another --out.")
            self.out.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(self.out, data)
        print(f"{self.out}: {counted(len(suffixes), 'suffix', 'suffixes')} from {counted(len(texts), 'caption')}")
        return 0

    def _captions(self) -> tuple[Caption, ...]:
        from ..errors import InputError
        from ..sources.captions import read_captions

        file = self.out.with_name("captions.jsonl") if self.captions is None else self.captions
        if self.data is None:
            if self.captioner is not None:
                raise InputError("--captioner came without --data; give --data PATH, the images to caption.")
            return read_captions(file)
        if self.captioner is None:
            raise InputError(
                "--data came without --captioner; give a BLIP captioner, such as Salesforce/blip-image-captioning-base."
            )
        from ..engine.caption import caption_images
        from ..engine.captioner import load_captioner
        from ..sources.load import load_source
        from .progress import ProgressBar
        from .quiet import quiet

        quiet()
        images = load_source(self.data, bad_images=self.bad_images)
        for note in images.notes:
            print(f"note: {note}", file=sys.stderr)
        captioner = load_captioner(self.captioner, device=self.device)
        with ProgressBar() as bar:
            captions = caption_images(captioner, images, out=file, batch_size=self.batch_size, on_progress=bar)
        print(f"{file}: {counted(len(captions), 'caption')}")
        return captions

    def _counted(self, captions: tuple[Caption, ...]) -> list[str]:
        from ..errors import InputError
        from ..plan.classes import ClassList
        from ..plan.contexts import frequent_contexts
        from .classes import Classes

        named = sorted({caption.class_name for caption in captions} - {""})
        classes = ClassList.of(named) if named else None
        if self.classes is not None:
            classes = ClassList.load(self.classes)
        elif classes is None and self.meta_class is not None:
            classes = ClassList.of([self.meta_class])
        if classes is not None:
            classes = Classes(meta_class=self.meta_class).named(classes)
        found = frequent_contexts([caption.caption for caption in captions], classes, count=self.count)
        if not found:
            raise InputError(
                "No caption tells where something is or what it does; give other captions, or --llm-command."
            )
        for context in found[:_SHOWN]:
            print(f"{context.captions:7} captions  {context.text}")
        return [context.text for context in found]

    def _asked(self, command: str, texts: list[str]) -> list[str]:
        from ..engine.suffix_command import suffixes_by_command

        return list(suffixes_by_command(command, texts, timeout=self.llm_timeout))[: self.count]
