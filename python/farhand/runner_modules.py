"""Which modules a worker's functions can import, by the names at the top.

A task that names a module which no worker has can be refused before it runs. So a name too many
costs a failure with a clear text, a name too few a task that nobody takes: directories count, as
they can be imported even without an __init__.py, and where it cannot be known, the answer is that.
"""

import os
import sys
from importlib import machinery

NAMES_MAX = 64 * 1024  # bytes of the answer

# Finders on sys.meta_path that add nothing to what is on sys.path. "six" has names of its own only
# below its own.
PLAIN_FINDERS = {
    "_frozen_importlib", "_frozen_importlib_external", "importlib._bootstrap",
    "importlib._bootstrap_external", "_distutils_hack", "six",
}


def importable_modules():
    """Their names, sorted, with commas between them; empty: nobody can know."""
    names = set(sys.builtin_module_names)
    for finder in sys.meta_path:
        found = names_of_finder(getattr(finder, "__module__", None))
        if found is None:
            return ""
        names.update(found)
    for folder in sys.path:
        if os.path.isfile(folder):  # an archive
            return ""
        names.update(names_in_folder(folder))
    text = ",".join(sorted(name for name in names if name.isascii() and name.isidentifier()))
    return text if len(text) <= NAMES_MAX else ""


def names_of_finder(module):
    """What the finder of this module adds; None: it cannot be asked. Those that setuptools makes
    for projects that are installed to be edited have a table."""
    if module in PLAIN_FINDERS:
        return ()
    table = getattr(sys.modules.get(module), "MAPPING", None)
    return [name.partition(".")[0] for name in table] if isinstance(table, dict) else None


def names_in_folder(folder):
    endings = tuple(machinery.all_suffixes())
    try:
        with os.scandir(folder or ".") as entries:
            return [entry.name.partition(".")[0] for entry in entries
                    if entry.name.endswith(endings) or "." not in entry.name and entry.is_dir()]
    except OSError:  # nothing can be imported from there
        return []
