"""Log files that processes append to without end: emptied when they are large, with the text until then beside them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def empty_if_large(log: Path, bytes_max: int) -> bool:
    """Copy the file to NAME.old, replacing an older one, and empty it, if it is larger; return whether it was.

    Its process appends, so it continues at the beginning. A line that is written between the two steps is lost, and
    where nothing can be copied (a full disk) the whole text. OSError if the file cannot be emptied.
    """
    if not log.exists() or log.stat().st_size <= bytes_max:
        return False
    with suppress(OSError):
        shutil.copyfile(log, log.with_name(f"{log.name}.old"))
    os.truncate(log, 0)
    return True
