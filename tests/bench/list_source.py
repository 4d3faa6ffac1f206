"""How long listing a source of images takes: `python tests/bench/list_source.py FOLDER_OR_FILE [--decode]`."""

import argparse
import time
import tracemalloc

from ncm_lib import load_source

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--split")
    parser.add_argument("--decode", action="store_true", help="decode all pixels too")
    options = parser.parse_args()
    for run in ("first run", "again (the files are in memory)"):
        start = time.perf_counter()
        listing = load_source(
            options.source, split=options.split, decode=options.decode, bad_images="skip", conflicts="drop"
        )
        seconds = time.perf_counter() - start
        megabytes = int(listing.byte_sizes.sum()) / 1e6
        print(f"{run}: {len(listing)} images, {megabytes:.0f} MB in {seconds:.2f} s")
    tracemalloc.start()
    listing = load_source(options.source, split=options.split, bad_images="skip", conflicts="drop")
    kept, peak = (size / len(listing) for size in tracemalloc.get_traced_memory())
    print(f"memory per image: {kept:.0f} bytes kept, {peak:.0f} at most while listing")
    print(*listing.notes, sep="\n")
