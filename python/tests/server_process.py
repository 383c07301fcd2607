"""A real server for tests: its own folder and log, killed and started again on the same port."""

import re
import signal
import subprocess
import sys


class Server:
    def __init__(self, executable, folder, *args):
        self.command = [executable, "serve", "--data", str(folder / "data"), "--local", "2",
                        "--python", sys.executable, "--grace", "1", *args]
        self.folder = folder
        self.log = folder / "server.log"
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--listen", f"127.0.0.1:{self.port}"], cwd=self.folder,
                stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"ready (http://127\.0\.0\.1:(\d+))\n", line)
        assert match, (line, self.log.read_text())
        self.url, self.port = match[1], int(match[2])

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self):
        self.end(signal.SIGTERM)

    def end(self, number):
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process.stdout.close()
            self.process = None
