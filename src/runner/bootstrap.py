# What the worker hands to `python -c`: makes modules of the sources that come in descriptor 4 and
# starts the template, whose control socket is descriptor 3. Understood by any Python, so that one
# that is too old can say so. A file of the user's must not stand in for a standard module here:
# the working directory joins the path later.
import sys
if sys.version_info < (3, 9):
    sys.exit('Python %d.%d.%d is too old: 3.9 or newer is needed' % sys.version_info[:3])
if sys.path and sys.path[0] == '':
    del sys.path[0]
import builtins
import os
parts = os.pread(4, 1 << 24, 0).split(b'\0')
os.close(4)
package = type(sys)('_farhand')
package.__path__ = []
sys.modules['_farhand'] = package
for name, source in zip(parts[::2], parts[1::2]):
    name = name.decode()
    module = type(sys)('_farhand.' + name)
    module.__package__ = '_farhand'
    module.__builtins__ = dict(vars(builtins))  # which jobs may replace
    module.__file__ = '<farhand>/%s.py' % name
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, module.__file__, 'exec'), module.__dict__)
module.main(3)
