#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Numbered datagrams of a TURN client over a channel to an echo peer, until SIGTERM.
#   turnstream.py udp|tcp|tls SERVER PORT USER PASSWORD REALM PEER PEER-PORT RATE SIZE
# It says "bound", and at the end one JSON object: how many were sent, heard and heard twice, the last that was heard
# and how many seconds behind the binding, and the first that are missing.
import json
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True  # turnprobe is beside this

from turnprobe import Probe
from turnraw import attr

NUMBER = 0x4001
SO_RCVBUFFORCE = 33
CATCH_UP_S = 0.05  # of time that it had no CPU, so that no burst follows
LATE_S = 1.0  # silence after which nothing more is expected


class Stream:
    def __init__(self, probe, peer, port, rate, size):
        self.probe, self.peer, self.port = probe, peer, port
        self.rate, self.size = rate, size
        self.sent, self.twice, self.heard, self.ended = 0, 0, set(), False
        self.bound, self.last_at = 0, 0

    def begin(self):
        p = self.probe
        p.allocate(attr(0xD, struct.pack(">I", 3600)))
        self.bound = time.monotonic()
        p.bind(self.peer, self.port, NUMBER)
        print("bound", flush=True)

    def end(self, *_):
        self.ended = True

    def hear(self, seconds):
        data = self.probe.take(seconds)
        if data and data[0] == NUMBER >> 8:
            number = struct.unpack_from(">I", data, 4)[0]
            self.twice += number in self.heard
            self.heard.add(number)
            self.last_at = time.monotonic()
        return data

    def run(self):
        due = time.monotonic()
        while not self.ended:
            now = time.monotonic()
            if now >= due:
                self.probe.say_on(NUMBER, struct.pack(">I", self.sent) + bytes(self.size - 4))
                self.sent += 1
                due = max(due + 1 / self.rate, now - CATCH_UP_S)
            self.hear(max(0, due - time.monotonic()))
        while len(self.heard) < self.sent and self.hear(LATE_S):
            pass

    def result(self):
        missing = [n for n in range(self.sent) if n not in self.heard]
        return {"sent": self.sent, "heard": len(self.heard), "twice": self.twice, "last": max(self.heard, default=-1),
                "seconds": round(self.last_at - self.bound, 3), "missing": missing[:20]}


def main(argv):
    kind = socket.SOCK_DGRAM if argv[0] == "udp" else socket.SOCK_STREAM
    probe = Probe((argv[1], int(argv[2])), argv[3], argv[4], argv[5], kind, argv[0] == "tls")
    # This process may be kept from its CPU for longer than a socket's usual buffer lasts.
    probe.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    stream = Stream(probe, argv[6], int(argv[7]), float(argv[8]), int(argv[9]))
    signal.signal(signal.SIGTERM, stream.end)
    stream.begin()
    stream.run()
    print(json.dumps(stream.result()), flush=True)


main(sys.argv[1:])
