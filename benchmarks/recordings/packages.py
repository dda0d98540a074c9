"""Which packages the recordings come from, as data: name, exact version, licence, and which of their files are whose voice.

Every one of them is a package that anybody can install; the speech in them may be used freely, under the licence beside it. A folder of
``single/`` is one human voice. A file whose path fits :data:`NOT_SPEECH` and a voice in :data:`SEVERAL_VOICES` are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recordings.sky import SKY_VOICES


@dataclass(frozen=True)
class Package:
    """One package at one version."""

    name: str
    version: str
    kind: Literal["deb", "sdist"]
    """``deb``: a package of Debian 12; ``sdist``: a source archive of the Python package index."""


@dataclass(frozen=True)
class Voices:
    """The single voices in one package."""

    package: Package
    licence: str
    pattern: re.Pattern[str]
    """What the path of a clip in the package looks like."""
    speaker: str
    """The voice's name, with the pattern's groups in it."""
    note: str


AMI = Package("pyannote-audio", "4.0.7", "sdist")
"""Its test data are excerpts of the AMI Meeting Corpus; it also holds a telephone conversation."""
AMI_EXCERPTS = ("dev00", "trn00", "trn01", "trn02", "trn03", "trn04", "trn05")
TRANSCRIBER = Package("transcriber", "1.5.1.1-10+b1", "deb")
"""Its example is French radio with hand-made speaker turns."""
QUEEN = Package("flight-of-the-amazon-queen", "1.0.0-9", "deb")
"""A game whose spoken lines lie in one archive of its own format."""
QUEEN_TALKS: tuple[tuple[str, ...], ...] = (
    ("02",),
    ("03", "14"),
    ("04", "05"),
    ("06", "07", "67", "68", "77"),
    ("08", "09", "23"),
    ("10",),
    ("11", "15", "16", "75", "76"),
    ("12", "13"),
    ("17", "42", "45"),
    ("18", "20", "21", "22", "84"),
    ("19",),
    ("24", "64"),
    ("25", "26", "70"),
    ("27",),
    ("28", "80"),
    ("29", "66"),
    ("31",),
    ("33", "34", "51", "52", "53", "54", "55", "73", "74"),
    ("35",),
    ("36",),
    ("37", "38"),
    ("39", "40", "41"),
    ("48", "49"),
    ("50",),
    ("57", "69", "71", "72"),
    ("58",),
    ("59", "60", "83"),
    ("61", "62"),
    ("78",),
    ("79",),
)
"""The game's conversations, by the voice of whom the hero talks to. Within each of them the lines' CAM++ embeddings have a mean cosine of
0.83 to 0.91 to their own centre; those whose centres have one of 0.92 or more are one voice here. One actor may be several of these."""

SKY = Package("beneath-a-steel-sky", "0.0372-8", "deb")
"""A game whose spoken lines lie packed in one archive of its own format; whose each line is says :mod:`recordings.sky`."""
DRASCULA = Package("drascula", "1.0+ds4-2", "deb")
"""A game whose spoken lines are files of raw samples, named after who says them by letters; without letters it is the hero."""
DRASCULA_LETTERS = ("B", "BJ", "D", "E", "I", "L", "P", "S", "T", "VB")


def _voices(name: str, version: str, licence: str, pattern: str, speaker: str, note: str) -> Voices:
    return Voices(Package(name, version, "deb"), licence, re.compile(pattern), speaker, note)


def _queen(pattern: str, speaker: str, note: str) -> Voices:
    return Voices(QUEEN, "FotAQ licence (free to share and modify)", re.compile(pattern), speaker, note)


def _sky(numbers: tuple[int, ...]) -> Voices:
    pattern = re.compile(rf"/lines/(?:{'|'.join(map(str, numbers))})\.u8$")
    return Voices(SKY, "Beneath a Steel Sky licence (free to share and modify)", pattern, f"sky_{numbers[0]}", "game dialogue, 11 kHz")


def _drascula(letters: str, speaker: str, note: str) -> Voices:
    pattern = re.compile(rf"/en/{letters}[0-9_]+\.ALS$")
    return Voices(DRASCULA, "Drascula licence (free to share and modify)", pattern, f"drascula_{speaker}", note)


VOICES: tuple[Voices, ...] = (
    *(
        _voices(
            f"asterisk-core-sounds-{language}-g722",
            "1.6.1-1",
            licence,
            r"/sounds/.*\.g722$",
            f"asterisk_{who}",
            "studio voice prompts, one named voice talent",
        )
        for language, who, licence in (
            ("en", "allison", "CC-BY-SA-3.0"),
            ("es", "allison", "CC-BY-SA-3.0"),
            ("fr", "june", "CC-BY-SA-3.0"),
            ("it", "carlo", "CC-BY-3.0"),
            ("ru", "ivrvoice", "CC-BY-3.0"),
        )
    ),
    _voices("asterisk-prompt-es-co", "0.20070403-2.1", "GPL (package copyright)", r"\.gsm$", "asterisk_es_co", "8 kHz GSM prompts"),
    _voices(
        "asterisk-prompt-fr-armelle",
        "20070613-2.2",
        "GPL-2+",
        r"\.gsm$",
        "asterisk_fr_armelle",
        "8 kHz GSM prompts by Armelle Desjardins",
    ),
    _voices("asterisk-prompt-it-menardi-wav", "1:1.4.22+mm20110907-3.1", "CC-BY-SA-3.0", r"\.wav$", "asterisk_it_menardi", "8 kHz prompts"),
    _voices("tuxpaint-stamps-default", "2022.06.04-1", "GPL-2", r"_desc_([A-Za-z_]+)\.(?:ogg|wav)$", r"tuxpaint_\1", "spoken stamp names"),
    _voices(
        "ktuberling-data", "4:22.12.3-1", "GPL-2+", r"/ktuberling/sounds/([a-z]+)/[^/]+\.(?:wav|ogg)$", r"ktuberling_\1", "spoken words"
    ),
    _voices(
        "klettres-data",
        "4:22.12.3-1",
        "GPL-2+",
        r"/klettres/([A-Za-z_]+)/(?:alpha|syllab)/[^/]+\.ogg$",
        r"klettres_\1",
        "spoken letters and syllables",
    ),
    _voices("festvox-ru", "0.5+dfsg-6", "BSD-like", r"/msu_ru_nsh_clunits/wav/[^/]+\.wav$", "festvox_ru_nsh", "read sentences"),
    *(
        _voices(
            f"fillets-ng-data-{language}",
            "1.0.1-1.1",
            "GPL-2+",
            rf"/{language}/[a-z0-9]+-([mv])-[^/]+\.ogg$",
            rf"fillets_{language}_\1",
            "game dialogue; m = the small fish, v = the big fish",
        )
        for language in ("cs", "nl")
    ),
    _queen(r"/[0-9A-F ]{2}[0-9A-F]{4}J[0-9A-F]\.SB$", "fotaq_joe", "game dialogue, the hero's voice"),
    *(
        _queen(rf"/(?:{'|'.join(talks)}).{{4}}P[0-9A-F]\.SB$", f"fotaq_{talks[0]}", "game dialogue, one of the others' voices")
        for talks in QUEEN_TALKS
    ),
    _voices("codec2-examples", "1.0.5-1", "LGPL-2.1", r"/wav/(ve9qrp|vk5qi)\.wav$", r"codec2_\1", "8 kHz radio amateurs"),
    _voices(
        "pocketsphinx-testdata",
        "0.8+5prealpha+1-15",
        "BSD; LibriVox is public domain",
        r"/librivox/[^/]+\.wav$",
        "pocketsphinx_librivox",
        "LibriVox reader",
    ),
    _voices("pocketsphinx-testdata", "0.8+5prealpha+1-15", "BSD", r"/cards/[^/]+\.wav$", "pocketsphinx_cards", "read playing cards"),
    *map(_sky, SKY_VOICES),
    _drascula("", "hacker", "game dialogue, the hero's voice, 11 kHz"),
    *(_drascula(letters, letters.lower(), "game dialogue, one of the others' voices, 11 kHz") for letters in DRASCULA_LETTERS),
)
"""Where every voice of ``single/`` comes from, in the order in which the packages are read."""

NOT_SPEECH = re.compile(r"/silence/|beep|/tone|ring|alarm|/ha/phone|monkeys|screaming")
SEVERAL_VOICES = frozenset({"tuxpaint_ca", "tuxpaint_fr", "ktuberling_uk", "klettres_de", "klettres_da"})
"""Their clips fall into two groups under a speaker embedding (CAM++), so they are probably more than one person."""

UNSEEN = frozenset(
    {
        "asterisk_es_co",
        "asterisk_it_menardi",
        "fillets_nl_m",
        "tuxpaint_da",
        "tuxpaint_el",
        "klettres_fr",
        "klettres_hu",
        "ktuberling_lt",
    }
)
"""The voices that no model of this project may be trained on; ``mix/`` is made of them alone. ``single/SOURCES.tsv`` says it too."""
