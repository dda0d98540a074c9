"""Make recordings with exact turns out of speech of single voices.

    python benchmarks/simulation/simulate.py meetings OUT --voices DATA/single --only unseen --speakers 2 3 4
    python benchmarks/simulation/simulate.py degrade OUT --recordings DATA/mix --snr 5 15 --reverberation 0.2 0.6

'meetings' writes recordings of several voices that take turns, 'mixtures' of voices that talk at the same time as in LibriMix, 'degrade'
the recordings of a folder in a room and with noise. All of it is 16 kHz FLAC with RTTM, the same for a seed; a noisy set holds the
conversations of the clean one. SOURCES.tsv, written last, says what is in each recording.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

# A script finds only what lies beside it; these modules are packages one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recordings import turns
from recordings.packages import UNSEEN
from simulation import clips
from simulation.channel import Channel
from simulation.degrade import degrade
from simulation.scene import Scene, Surroundings, write
from simulation.talk import TurnTaking

HEADER = ("name", "seconds", "speakers", "overlap", "clipped_samples", "voices")


def main(arguments: list[str] | None = None) -> int:
    """Make what is asked for; 1 if it cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("meetings", "mixtures", "degrade"))
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="degrade: recordings with RTTM")
    parser.add_argument("--voices", type=Path, metavar="FOLDER", help="one folder of 16 kHz clips for each voice")
    parser.add_argument("--only", nargs="+", default=["all"], metavar="NAME", help="'all', 'unseen', 'seen', or names (default: all)")
    parser.add_argument("--speakers", type=int, nargs="+", default=[2], metavar="N", help="how many in a recording (default: 2)")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="recordings for each number of speakers (default: 10)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[180.0, 300.0], help="least and most (default: 180 300)")
    parser.add_argument("--overlap", type=float, default=0.1, help="share of overlapped speech in meetings (default: 0.1)")
    parser.add_argument("--levels", type=float, default=2.5, metavar="DB", help="how far voices lie from the mean (default: 2.5)")
    parser.add_argument("--reverberation", type=float, nargs=2, metavar="SECONDS", help="least and most; default: no room")
    parser.add_argument("--snr", type=float, nargs=2, metavar="DB", help="least and most; default: no noise")
    parser.add_argument("--babble", type=float, default=0.3, help="share of the noise that is far voices (default: 0.3)")
    parser.add_argument("--highest-hz", type=float, default=4000.0, help="one band for all voices (default: 4000; 8000: no limit)")
    parser.add_argument("--telephone", action="store_true", help="a telephone's band and companding")
    parser.add_argument("--away", action="store_true", help="each person is silent for a tenth of the recording")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    around = Surroundings(
        None if options.reverberation is None else tuple(options.reverberation),
        None if options.snr is None else tuple(options.snr),
        options.babble,
        Channel(options.highest_hz, options.telephone),
        options.levels,
    )
    try:
        if options.what == "degrade":
            if options.recordings is None:
                parser.error("degrade needs --recordings")
            print(f"{options.out}: {degrade(options.recordings, options.out, around, options.seed)}")
        else:
            if options.voices is None:
                parser.error(f"{options.what} needs --voices")
            print(f"{options.out}: {_simulate(options, around)}")
    except (OSError, ValueError) as error:
        print(f"simulate.py: {error}", file=sys.stderr)
        return 1
    return 0


def _simulate(options: argparse.Namespace, around: Surroundings) -> str:
    folders = clips.folders(options.voices)
    cast = chosen(list(folders), options.only)
    habits = TurnTaking(overlap=options.overlap) if options.what == "meetings" else None
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for speakers in options.speakers:
        for index in range(options.count):
            seed = [options.seed, speakers, index]
            seconds = round(float(np.random.default_rng(seed).uniform(min(options.seconds), max(options.seconds))))
            scene = Scene(speakers, seconds, habits, around, options.away)
            made = write(options.out, f"{options.what[:-1]}{speakers}_{index:02d}", scene, folders, cast, seed, clips.read)
            found = len({who for _, _, who in made.turns})
            rows.append((made.name, str(seconds), str(found), f"{made.overlap:.3f}", str(made.clipped), " ".join(made.voices)))
    turns.write_text(options.out / "SOURCES.tsv", turns.table([HEADER, *rows]))
    return f"{len(rows)} recordings of {len(cast)} voices, {sum(float(row[1]) for row in rows) / 60:.1f} minutes"


def chosen(names: list[str], only: list[str]) -> list[str]:
    """The voices that are meant. Raises :class:`ValueError` for one that is not there."""
    if only == ["all"]:
        return names
    if only in (["unseen"], ["seen"]):
        return [name for name in names if (name in UNSEEN) == (only == ["unseen"])]
    missing = [name for name in only if name not in names]
    if missing:
        raise ValueError(f"There is no voice {missing[0]}; there are {', '.join(names)}.")
    return only


if __name__ == "__main__":
    sys.exit(main())
