#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two pages in headless Chromium that meet through a TURN server and exchange a file each way; see browser_turn.html.

usage: browser_turn.py URL USER PASSWORD [SECONDS]

Serves the page and its signalling on loopback, starts a browser per page, and waits for their last words.
Exit status 0: each page has the other's file, and its selected pair is relayed at both ends; 77: no browser.
"""
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROLES = ("offer", "answer")
said = {role: [] for role in ROLES}
signals = {}
changed = threading.Condition()
page = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "browser_turn.html"), "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/":
            self.answer(200, page, "text/html; charset=utf-8")
        elif self.path in signals:
            self.answer(200, signals[self.path], "application/json")
        else:
            self.answer(404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with changed:
            if self.path.startswith("/signal/"):
                signals[self.path] = body
            elif self.path.startswith("/log/") and self.path[5:] in said:
                said[self.path[5:]].append(body.decode())
                changed.notify_all()
        self.answer(200)

    def log_message(self, *args):
        pass


def last_words():
    """What each page said at its end, or None while one has not."""
    ends = {r: [w for w in said[r] if w.startswith(("done", "failed"))] for r in ROLES}
    return {r: ends[r][0] for r in ROLES} if all(ends.values()) else None


def judge(words):
    done = {r: words[r].split() for r in ROLES}
    if any(d[0] != "done" or len(d) < 5 for d in done.values()):
        return False
    return (done["offer"][1] == done["answer"][2] and done["answer"][1] == done["offer"][2]
            and done["offer"][1] != done["answer"][1] and all(d[3:5] == ["relay", "relay"] for d in done.values()))


def open_page(browser, home, address):
    return subprocess.Popen(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--disable-renderer-backgrounding", "--disable-background-timer-throttling", f"--user-data-dir={home}",
         address],
        env={**os.environ, "HOME": home}, stdout=subprocess.DEVNULL, stderr=open(home + "/stderr", "wb"))


def close(child):
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    url, user, password = sys.argv[1:4]
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 60
    browser = shutil.which("chromium")
    if not browser:
        print("no chromium")
        sys.exit(77)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}/#"
    homes = [tempfile.mkdtemp(prefix="browser-") for _ in ROLES]
    children = [open_page(browser, home, base + urllib.parse.quote(",".join((role, user, password, url))))
                for role, home in zip(ROLES, homes)]
    end = time.monotonic() + seconds
    with changed:
        while not last_words() and time.monotonic() < end and all(c.poll() is None for c in children):
            changed.wait(0.5)
        words = last_words()
    for child in children:
        close(child)
    good = bool(words) and judge(words)
    for role, home in zip(ROLES, homes):
        if not said[role]:  # it did not even load the page
            lines = open(home + "/stderr", errors="replace").read().splitlines()
            print("\n".join([line for line in lines if "dbus" not in line][-4:]))
        print(role + ": " + "; ".join(said[role]))
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(0 if good else 1)


main()
