"""A data set made on Ray Data: batch numbers are the rows, actors hold the model and write their batches themselves."""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError, import_extra
from ..methods.base import Method
from ..sources.listing import SourceListing
from ..store.layout import MANIFEST
from ..store.ledger import Ledger
from ..store.lock import FolderLock, LockedError
from ..store.manifest import Manifest
from ..store.writer import DatasetWriter
from ..wording import counted
from .concepts import load_concepts
from .generate import Progress, Summary, close_run, refuse_probing, run_notes, settled
from .load import load_model
from .production import Production
from .render import Renderer
from .settings import RenderSettings
from .speed import Speed
from .starts import Inversion
from .stats import Stats

ROWS_PER_ACTOR = 64
"""Into how many rows the work of an actor is cut: what its death can cost, and how evenly the actors end."""
RANKS = 10_000
OBJECT_STORE_BYTES = 100 * 2**20
"""Of a Ray that is started here: numbers go through it, never images."""
_SUMS = ("made", "failed", "retried", "seconds_denoising", "seconds_decoding", "seconds_writing")


def generate_with_ray(
    method: Method,
    model: str | Path,
    *,
    out: str | Path,
    count: int,
    seed: int = 0,
    batch_size: int | Literal["auto"] | None = None,
    settings: RenderSettings | None = None,
    image_format: Literal["png", "webp", "jpeg"] = "png",
    save_masks: bool = True,
    break_lock: bool = False,
    inversion: Inversion | None = None,
    images: SourceListing | None = None,
    device: str | None = None,
    dtype: str | None = None,
    config: str | Path | None = None,
    lora: Mapping[str, float | int] | None = None,
    embeddings: Mapping[str, str | Path] | None = None,
    speed: Speed | None = None,
    concepts: str | Path | None = None,
    any_base: bool = False,
    address: str | None = None,
    actors: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Make a data set as ``generate`` does, on the machines of a Ray cluster: the same records and images.

    An actor that dies is started again, finds what it had finished, and makes the rest. The driver holds the data set
    meanwhile; it loads the model once on its own CPU, to settle what is made. A Ray that is connected already is used
    and left running.

    Args:
        method: what to make.
        model: the source, as ``load_model`` takes it; every actor loads it from there.
        out: folder of the data set, at the same path on every machine.
        count: as in ``generate``, like ``seed``, ``batch_size``, ``settings``, ``image_format``, ``save_masks``,
            ``break_lock``.
        seed: of the whole data set.
        batch_size: samples per model call.
        settings: steps, guidance, scheduler, size.
        image_format: png, lossless webp, or jpeg.
        save_masks: also write each sample's mask.
        break_lock: take the folder over from a driver that is known to be dead.
        inversion: as in ``generate``; it is pickled for the actors.
        images: as in ``generate``; the files must be at the same path on all machines.
        device: of the actors: "cpu", "cuda" or "mps"; None takes the GPUs that Ray knows of, else the CPU.
        dtype: as in ``load_model``; None is float16 where Ray has GPUs, else float32.
        config: as in ``load_model``, like ``lora``, ``embeddings`` and ``speed``; files must be at the same path on all
            machines.
        lora: LoRA files and their scales.
        embeddings: textual inversions: token and file.
        speed: ways to make the same images sooner or in less memory.
        concepts: as in ``load_concepts``, like ``any_base``; every actor puts them on its model.
        any_base: also take concepts that were learned with another model.
        address: of a cluster that runs: "auto" or "host:port"; None starts Ray on this machine for this run.
        actors: how many; None is one per GPU, or one per machine where there are none.
        on_progress: called from this thread whenever an actor has finished a part.

    Returns:
        What was made, skipped and failed.

    Raises:
        InputError: what ``generate`` raises; no cluster at ``address``; more actors than the cluster has room for; an
            actor cannot see ``out``, keeps dying, or samples are missing in the end.
        MissingExtraError: ``ray`` is not installed.

    Example:
        A cluster that ``ray start`` has made, with one actor per GPU::

            ncm.generate_with_ray(method, "/shared/sd15", out="/shared/aug", count=100_000, address="auto")
    """
    ray, data = import_extra("ray", "ray"), import_extra("ray.data", "ray")
    refuse_probing(batch_size, Path(out), "Ray's actors")
    started = time.monotonic()
    with ExitStack() as cluster:
        cluster.enter_context(_connection(ray, address))
        pool = _pool([node["Resources"] for node in ray.nodes() if node["Alive"]], actors=actors, device=device)
        job = _Job(
            method=method,
            model=str(_placed(model)),
            out=Path(out).resolve(),
            count=count,
            seed=seed,
            batch_size=batch_size,
            settings=settings or RenderSettings(),
            image_format=image_format,
            save_masks=save_masks,
            inversion=inversion,
            images=images,
            device=device or ("cuda" if pool.gpus else None),
            dtype=dtype or ("float16" if pool.gpus else "float32"),
            config=_placed(config),
            lora={str(_placed(file)): scale for file, scale in (lora or {}).items()},
            embeddings={token: str(_placed(file)) for token, file in (embeddings or {}).items()},
            speed=speed or Speed(),
            concepts=None if concepts is None else Path(concepts).expanduser().resolve(),
            any_base=any_base,
        )
        _, renderer, manifest = replace(job, device="cpu").settled(to_run=False)
        stats = Stats(
            shard=f"ray/{pool.actors}",
            device=job.device or "",
            dtype=renderer.settings.dtype,
            batch_shape=manifest.batch_shape,
        )
        del renderer
        writer = DatasetWriter(job.out, manifest, break_lock=break_lock)
        with stats.timing("opening"):
            writer.__enter__()
        starts = 0
        try:
            todo = writer.missing(0, count)
            stats.skipped = count - len(todo)
            for report in _reports(ray, data, job, pool, _rows(todo, manifest.batch_shape, pool.actors)):
                _add(report, stats)
                starts = max(starts, report["starts"])
                if on_progress is not None:
                    on_progress(_progress(stats, count, len(todo), time.monotonic() - started))
            missing = np.flatnonzero(~Ledger.read(job.out, writer.manifest).done[:count])
            stats.made = len(todo) - len(missing)
            if len(missing) > stats.failed:
                listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
                raise InputError(
                    f"Ray has ended, {stats.failed} images were bad, and {len(missing)} samples of {job.out} are "
                    f"missing: {listed}. Run the same command again to make them; if they stay away, look whether all "
                    "machines write to the same folder."
                )
            stats.ended = "done"
        except BaseException as error:
            stats.ended = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
            raise
        finally:
            # the actors of a Ray that was started here are gone before the derived files are written
            cluster.close()
            _free_locks(job.out)
            close_run(writer, stats, started)
    return Summary(
        path=Path(out),
        count=count,
        made=stats.made,
        skipped=stats.skipped,
        failed=stats.failed,
        seconds=stats.seconds,
        notes=(*run_notes(writer, stats, batch_size=batch_size), *_death_notes(starts - pool.actors)),
    )


def _placed(source: str | Path | None) -> str | None:
    """A file or folder by its whole path, since the actors have other working directories; else the hub id it is."""
    if source is None:
        return None
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else str(source)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What an actor is told: numbers, names and configs, never a model."""

    method: Method
    model: str
    out: Path
    count: int
    seed: int
    batch_size: int | Literal["auto"] | None
    settings: RenderSettings
    image_format: Literal["png", "webp", "jpeg"]
    save_masks: bool
    inversion: Inversion | None
    images: SourceListing | None = None
    device: str | None
    dtype: str
    config: str | None = None
    lora: dict[str, float | int] = field(default_factory=dict[str, float | int])
    embeddings: dict[str, str] = field(default_factory=dict[str, str])
    speed: Speed = field(default_factory=Speed)
    concepts: Path | None = None
    any_base: bool = False

    def settled(self, *, to_run: bool = True) -> tuple[Method, Renderer, Manifest]:
        """Load the model and settle what is made; without ``to_run``, on a device that may lack what makes it fast."""
        additions = {"config": self.config, "lora": self.lora, "embeddings": self.embeddings}
        # the driver may lack the actors' attention kernels; whether there is something to cache, it can tell
        own = Speed(cache=self.speed.cache, cache_interval=self.speed.cache_interval)
        speed = self.speed if to_run else own
        model = load_model(self.model, device=self.device, dtype=self.dtype, speed=speed, **additions)
        model = replace(model, speed=self.speed)
        if self.concepts is not None:
            model = load_concepts(model, self.concepts, any_base=self.any_base)
        renderer = Renderer(
            model,
            self.settings,
            default_scheduler=self.method.default_scheduler,
            inversion=self.inversion,
            real_image=None if self.images is None else self.images.read,
        )
        method, manifest = settled(
            self.method,
            renderer,
            out=self.out,
            count=self.count,
            seed=self.seed,
            batch_size=self.batch_size,
            image_format=self.image_format,
        )
        return method, renderer, manifest


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """How many actors there are, and what each one gets."""

    actors: int
    cpus: int = 1
    gpus: int = 0


def _pool(nodes: Sequence[dict[str, float]], *, actors: int | None, device: str | None) -> _Pool:
    """The actors that fit on the machines, whose resources are given as Ray tells them.

    Raises:
        InputError: a device that Ray hands out itself, or more actors than there is room for.
    """
    if device not in (None, "cpu", "cuda", "mps"):
        raise InputError(
            f"The device is {device!r}; with Ray legal are cpu, cuda and mps: it says itself which GPU is whose."
        )
    if actors is not None and actors < 1:
        raise InputError(f"The number of actors is {actors}; it must be at least 1.")
    gpus = 0 if device in ("cpu", "mps") else sum(int(node.get("GPU", 0)) for node in nodes)
    cpus = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    room, kind = (gpus, "GPUs") if gpus or device == "cuda" else (sum(cpus), "CPU cores")
    if (actors or 1) > room:
        raise InputError(f"{actors or 1} actors are asked for, and the Ray cluster has {room} {kind} for them.")
    if gpus:
        return _Pool(actors=actors or gpus, gpus=1)
    actors = actors or len(cpus)
    per_machine = -(-actors // len(cpus))
    return _Pool(actors=actors, cpus=max(min(cpus) // per_machine, 1))


def _rows(todo: Sequence[int], batch_shape: int, actors: int) -> list[list[int]]:
    """The numbers of the batches that have missing samples, in rows: single ones, or more where there are many."""
    batches = list(dict.fromkeys(index // batch_shape for index in todo))
    size = -(-len(batches) // (ROWS_PER_ACTOR * actors)) or 1
    return [batches[start : start + size] for start in range(0, len(batches), size)]


@contextmanager
def _connection(ray: Any, address: str | None) -> Iterator[None]:
    """Ray, connected: the one that is, the cluster at ``address``, or one on this machine for as long as the block."""
    if ray.is_initialized():
        yield
        return
    if address in (None, "local"):
        # nothing is reported to anybody by a Ray that nobody asked to start
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"address": "local", "include_dashboard": False}
        options["object_store_memory"] = OBJECT_STORE_BYTES
    else:
        options = {"address": address}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"There is no Ray cluster at {address!r} ({error}). Start one (ray start --head), name its address "
            "(host:port), or leave the address out for a Ray on this machine."
        ) from error
    finally:
        # ray.init puts its own in place, which ends the process without an answer
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminate)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _reports(ray: Any, data: Any, job: _Job, pool: _Pool, rows: list[list[int]]) -> Iterator[dict[str, Any]]:
    """Run the rows; what the actors tell of each, as they finish.

    Ray Data starts actors that died again and hands them the row they had, without an end: ``_Starts`` ends it.
    """
    if not rows:
        return
    starts = ray.remote(num_cpus=0)(_Starts).remote()
    dataset = data.from_items([{"batches": row} for row in rows], override_num_blocks=len(rows))
    made = dataset.map_batches(
        _Maker,
        fn_constructor_kwargs={"job": job, "starts": starts, "limit": 2 * pool.actors + 4},
        batch_size=1,
        compute=data.ActorPoolStrategy(size=pool.actors, max_tasks_in_flight_per_actor=1),
        **({"num_gpus": pool.gpus} if pool.gpus else {"num_cpus": pool.cpus}),
    )
    made.context.enable_progress_bars = False
    # closed at once where the run ends early: the actors stop then
    with closing(iter(made.iter_batches(batch_size=None, prefetch_batches=0))) as batches:
        for report in (json.loads(text) for batch in batches for text in batch["report"]):
            if error := report.get("error"):
                raise InputError(error)
            yield report


class _Starts:
    """An actor that counts the makers' starts: in all, and since one of them last finished something."""

    def __init__(self) -> None:
        self._in_vain = self._total = 0

    def add(self) -> tuple[int, int]:
        """One more."""
        self._in_vain += 1
        self._total += 1
        return self._in_vain, self._total

    def clear(self) -> None:
        """Something was finished."""
        self._in_vain = 0


class _Maker:
    """An actor: loads the model, takes a rank of its own in the data set, and makes the batches it is given."""

    def __init__(self, job: _Job, starts: Any, limit: int) -> None:
        self._job = job
        self._starts = starts
        self._limit = limit
        self._writer: DatasetWriter | None = None

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[str]]:
        """Make one row; the report is JSON, and tells of errors that the user can mend."""
        try:
            report = self._make([int(batch) for batches in rows["batches"] for batch in batches])
        except InputError as error:
            report = {"error": f"{error} (an actor on {platform.node()})"}
        return {"report": [json.dumps(report)]}

    def __del__(self) -> None:
        # Ray ends an actor that is no longer needed in this way; one that is killed leaves its lock to be recovered
        if self._writer is not None:
            with suppress(Exception):
                self._writer.__exit__(None, None, None)

    def _make(self, batches: Sequence[int]) -> dict[str, Any]:
        if self._writer is None:
            self._check_starts()
            self._writer = self._opened()
        shape, count = self._writer.manifest.batch_shape, self._job.count
        # what was finished before an actor died, here or elsewhere, is not made again
        todo = [
            index for batch in batches for index in self._writer.missing(batch * shape, min((batch + 1) * shape, count))
        ]
        stats = Stats(device=str(self._renderer.model.device))
        production = Production(
            self._method,
            self._renderer,
            self._writer,
            batch_shape=self._batch_shape,
            save_masks=self._job.save_masks,
            stats=stats,
            tell=lambda _: None,
        )
        production.make(todo)
        if stats.batch_changes:
            self._batch_shape = stats.batch_changes[-1]["batch_shape"]
        self._starts.clear.remote()
        return asdict(stats) | {"starts": self._started}

    def _check_starts(self) -> None:
        in_vain, self._started = import_extra("ray", "ray").get(self._starts.add.remote())
        if in_vain > self._limit:
            raise InputError(
                f"Actors were started {in_vain} times and none has finished anything since: they die at work, perhaps "
                "because memory runs out (Ray's logs tell). Take fewer actors per machine or a smaller batch size; "
                "every sample recorded so far stays valid"
            )

    def _opened(self) -> DatasetWriter:
        """Load the model, and open the data set that the driver has opened with the lowest rank that is free."""
        job = self._job
        if not (job.out / MANIFEST).is_file():
            raise InputError(
                f"{job.out} is not the data set that the run has opened: take a folder that all machines share"
            )
        # another model, another version of a library: the writer refuses, field by field
        self._method, self._renderer, manifest = job.settled()
        self._batch_shape = manifest.batch_shape
        for rank in range(1, RANKS):
            with suppress(LockedError):
                return DatasetWriter(job.out, manifest, rank=rank, derived=False).__enter__()
        raise InputError(f"All ranks of {job.out} are taken; remove the .ncm-*.lock files that dead processes left")


def _add(report: dict[str, Any], stats: Stats) -> None:
    for name in _SUMS:
        setattr(stats, name, getattr(stats, name) + report[name])
    stats.batch_changes = [*stats.batch_changes, *report["batch_changes"]]
    stats.device = stats.device or report["device"]


def _death_notes(deaths: int) -> list[str]:
    return [f"{counted(deaths, 'actor')} died and started again; nothing was lost"] if deaths > 0 else []


def _progress(stats: Stats, count: int, todo: int, seconds: float) -> Progress:
    return Progress(
        done=stats.skipped + stats.made,
        count=count,
        made=stats.made,
        seconds=seconds,
        fraction=min((stats.made + stats.failed) / max(todo, 1), 1.0),
    )


def _free_locks(out: Path) -> None:
    """Remove the lock files that killed actors of this machine left behind; one that is held stays."""
    for path in out.glob(".ncm-*.lock"):
        rank = path.name.split("-")[1].split(".")[0]
        if rank.isdecimal() and rank != "0":
            lock = FolderLock(out, rank=int(rank))
            with suppress(InputError):
                lock.acquire()
                lock.release()
