"""Writes a C file with Python sources in it, so that the executable carries them.

usage: embed.py OUTPUT BOOTSTRAP MODULE...

`runner_bootstrap` is the text of BOOTSTRAP; `runner_modules` holds the modules in the order given,
each as its name and its source, both ended by a NUL.
"""

import os
import sys


def array(name, data):
    rows = (", ".join(map(str, data[i : i + 24])) for i in range(0, len(data), 24))
    return "const unsigned char %s[] = {\n%s\n};\nconst size_t %s_len = %d;\n" % (
        name, ",\n".join(rows), name, len(data))


def main(output, bootstrap, *modules):
    with open(bootstrap, "rb") as file:
        start = file.read() + b"\0"
    parts = []
    for path in modules:
        with open(path, "rb") as file:
            source = file.read()
        if b"\0" in source:
            sys.exit("%s: a NUL in the source" % path)
        parts += [os.path.splitext(os.path.basename(path))[0].encode(), source]
    with open(output, "w") as file:
        file.write('#include "runner/embedded.h"\n\n')
        file.write(array("runner_bootstrap", start))
        file.write("\n")
        file.write(array("runner_modules", b"".join(part + b"\0" for part in parts)))


main(*sys.argv[1:])
