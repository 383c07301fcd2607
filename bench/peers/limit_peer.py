"""The physical limit: framed no-ops over a socketpair to Python children.

py-*: a Python parent and forked children.  c-*: a C parent (limit_native.c)
and exec'ed Python children, which is a C server's lower bound per task.
*-raw: 8-byte integers; *-pickle and *-dill: a serialised (args, kwargs) in, a
serialised result out.  Payloads of the payload case are raw bytes.
throughput is pipelined (WINDOW outstanding per child); latency is one at a time.
"""
import os
import pickle
import selectors
import socket
import struct
import subprocess
import sys

import common
import limit_child

HEAD = struct.Struct("<I")
INT = struct.Struct("<q")
WINDOW = 64


def frame(body):
    return HEAD.pack(len(body)) + body


class Limit(common.Peer):
    name = "limit"
    variants = ("c-dill", "c-pickle", "c-raw", "py-dill", "py-pickle", "py-raw")
    n = {"throughput": 1000000, "latency": 20000}

    def start(self):
        self.parent, self.codec = self.variant.split("-")
        if self.codec == "dill":
            import dill
            self.dumps, self.loads = (lambda a: dill.dumps(((a,), {}))), dill.loads
        elif self.codec == "pickle":
            self.dumps, self.loads = (lambda a: pickle.dumps(((a,), {}))), pickle.loads
        else:
            self.dumps, self.loads = INT.pack, lambda b: INT.unpack(b)[0]
        self.kind = {"sleep": "nap", "payload": "rot"}.get(self.case, "inc")
        if self.case == "payload":
            self.codec, self.dumps, self.loads = "bytes", bytes, bytes
        window = WINDOW if self.case == "throughput" else 1
        language = "C" if self.parent == "c" else "Python"
        self.notes = f"socketpair, {language} parent, {self.codec}, window {window} per child"
        if self.case == "latency":
            self.workers = 1
        if self.parent == "c":
            self.exe = os.path.join(self.tmp, "limit_native")
            source = os.path.join(common.HERE, "limit_native.c")
            subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", self.exe, source], check=True)
        else:
            self.fork_children()

    def fork_children(self):
        self.socks = []
        for _ in range(self.workers):
            a, b = socket.socketpair()
            for s in (a, b):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            pid = os.fork()
            if pid == 0:
                for s in self.socks + [a]:
                    s.close()
                try:
                    limit_child.serve(b.fileno(), self.kind, self.codec)
                finally:
                    os._exit(0)
            b.close()
            self.socks.append(a)
            self.worker_roots.append(pid)

    # -- C parent ----------------------------------------------------------
    def native(self, n):
        if self.parent != "c":
            return None
        args = common.blobs(n) if self.kind == "rot" else list(range(1000, 1000 + n))
        src, dst = os.path.join(self.tmp, "in"), os.path.join(self.tmp, "out")
        with open(src, "wb") as f:
            for a in args:
                f.write(frame(self.dumps(a)))
        window = WINDOW if self.case == "throughput" else 1
        argv = [self.exe, src, dst, self.workers, window, sys.executable,
                os.path.join(common.HERE, "limit_child.py"), self.kind, self.codec]
        done = subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True)
        got = done.stdout.split()
        with open(dst, "rb") as f:
            data = f.read()
        out, at = [], 0
        while at < len(data):
            size = HEAD.unpack_from(data, at)[0]
            out.append(self.loads(data[at + 4:at + 4 + size]))
            at += 4 + size
        common.expect(out, self.kind, args)
        return float(got[0]), [float(x) for x in got[1:]]

    # -- Python parent -----------------------------------------------------
    def one(self, kind, arg):
        s = self.socks[0]
        s.sendall(frame(self.dumps(arg)))
        size = HEAD.unpack(s.recv(4, socket.MSG_WAITALL))[0]
        return self.loads(s.recv(size, socket.MSG_WAITALL))

    def batch(self, kind, args):
        window = WINDOW if self.case == "throughput" else 1
        out, nxt, done = [None] * len(args), 0, 0
        sel = selectors.DefaultSelector()
        state = {}
        for s in self.socks:
            sel.register(s, selectors.EVENT_READ)
            state[s] = ([], bytearray())       # tasks given in order, bytes read
        got = dict.fromkeys(self.socks, 0)
        while done < len(args):
            for s in self.socks:
                ids = state[s][0]
                room = window - (len(ids) - got[s])
                if room > 0 and 2 * room >= window and nxt < len(args):
                    run = range(nxt, min(nxt + room, len(args)))
                    nxt = run.stop
                    ids.extend(run)
                    s.sendall(b"".join(frame(self.dumps(args[i])) for i in run))
            for key, _ in sel.select():
                s = key.fileobj
                ids, buf = state[s]
                buf += s.recv(1 << 20)
                at = 0
                while len(buf) - at >= 4:
                    size = HEAD.unpack_from(buf, at)[0]
                    if len(buf) - at - 4 < size:
                        break
                    out[ids[got[s]]] = self.loads(bytes(buf[at + 4:at + 4 + size]))
                    got[s] += 1
                    done += 1
                    at += 4 + size
                del buf[:at]
        return out

    def stop(self):
        if getattr(self, "socks", None):
            for s in self.socks:
                s.close()
            for pid in self.worker_roots:
                os.waitpid(pid, 0)


if __name__ == "__main__":
    common.main(Limit)
