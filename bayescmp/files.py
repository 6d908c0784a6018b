"""Write files so that a crash or a full disk never leaves half of one."""

import os
import secrets
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that, whatever happens, the old or the new one is there, whole.

    Args:
        path: File to write or replace.
        data: Its content.

    Raises:
        ValueError: If the folder does not exist, or the path is one.
        OSError: If writing fails; the temporary file is gone then.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise ValueError(f"path: expected a file in an existing folder, got {target}")
    if target.is_dir():
        raise ValueError(f"path: expected a file, got the folder {target}")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
