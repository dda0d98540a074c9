"""A file is written aside, in its own folder, and renamed when it is whole: nobody ever finds half of one.

In: a path and bytes. Out: the file, or an :class:`OutputError` that says in one sentence why not, with nothing left behind.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from wavlm_diarizer.errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` as the file ``path``, replacing an older one in one step and keeping its permissions.

    Folders are not created. What is not a plain file (a pipe, ``/dev/stdout``) is written into directly, for it cannot be replaced.
    Raises :class:`OutputError`.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            # A link stays a link: the file that it points to is the one to replace.
            _replace(Path(os.path.realpath(target)), data)
    except (OSError, ValueError) as error:
        raise OutputError(f"{target} cannot be written: {_reason(error, target)}") from error


def _replace(target: Path, data: bytes) -> None:
    mode = None
    if target.exists():
        mode = target.stat().st_mode & 0o777
        # Renaming would replace even a file that its owner made read-only.
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is read-only")
    # The name does not contain the target's, which may already be as long as names can be.
    aside = target.parent / f".{secrets.token_hex(8)}.part"
    try:
        with aside.open("xb") as file:
            file.write(data)
        if mode is not None:
            aside.chmod(mode)
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _reason(error: OSError | ValueError, target: Path) -> str:
    match error:
        case FileNotFoundError() if not target.parent.exists():
            return f"there is no folder {target.parent}; create it first."
        case IsADirectoryError():
            return "it is a folder; name a file in it."
        case NotADirectoryError():
            return f"{target.parent} is not a folder."
        case PermissionError():
            return f"this user has no permission to write it; choose another folder than {target.absolute().parent}."
        case OSError(errno=code) if code in _FULL:
            return "the disk is full; free some space or choose another folder."
        case OSError(strerror=str(text)):
            return f"{text[:1].lower()}{text[1:]}."
        case _:
            return f"{error}."
