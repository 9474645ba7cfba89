#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# A TURN client by hand, for what no client does.
#   turnraw.py many SERVER PORT USER PASSWORD REALM COUNT PEER
#       COUNT allocations with a channel to PEER each; then reads lines: "refresh" refreshes them all under the
#       nonces they had, "rebind" binds their channels again, "free" ends them. Prints a line of results each.
#   turnraw.py strangers SERVER PORT COUNT      first packets without credentials: how many were answered, and bytes
import hashlib
import hmac
import ipaddress
import os
import select
import socket
import struct
import sys
import time

COOKIE = 0x2112A442
ALLOCATE, REFRESH, PERMISSION, BIND = 3, 4, 8, 9


def attr(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(method, attrs, key=None, tid=None):
    body = b"".join(attrs)
    tid = tid or os.urandom(12)
    size = len(body) + (24 if key else 0)
    head = struct.pack(">HHI", method, size, COOKIE) + tid
    if key:
        body += attr(8, hmac.new(key, head + body, hashlib.sha1).digest())
    return head + body


def parse(data):
    attrs, at = {}, 20
    while at + 4 <= len(data):
        kind, size = struct.unpack_from(">HH", data, at)
        attrs.setdefault(kind, data[at + 4:at + 4 + size])
        at += 4 + size + (-size % 4)
    return struct.unpack_from(">H", data)[0], data[8:20], attrs


def code(data):
    kind, _, attrs = parse(data)
    if kind & 0x110 == 0x100:
        return 0
    value = attrs.get(9, b"\0\0\0\0")
    return value[2] * 100 + value[3]


def xor_address(host, port, tid):
    a = ipaddress.ip_address(host)
    mask = struct.pack(">I", COOKIE) + tid
    raw = bytes(x ^ y for x, y in zip(a.packed, mask))
    return struct.pack(">BBH", 0, 1 if a.version == 4 else 2, port ^ (COOKIE >> 16)) + raw


class Client:
    def __init__(self, server, user, password, realm):
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.connect(server)
        self.user, self.realm, self.nonce = user.encode(), realm.encode(), None
        self.key = hashlib.md5(("%s:%s:%s" % (user, realm, password)).encode()).digest()

    def request(self, method, attrs):
        tid = os.urandom(12)
        attrs = [a(tid) if callable(a) else a for a in attrs]
        if not self.nonce:
            return message(method, attrs, tid=tid)
        attrs += [attr(6, self.user), attr(0x14, self.realm), attr(0x15, self.nonce)]
        return message(method, attrs, self.key, tid)


# Each client's request, at most `window` on the way, repeated once a second: what codes came of it.
def ask_all(clients, make, window=256, tries=8):
    results, waiting = {}, list(range(len(clients)))
    poll = select.epoll()
    by_fd = {c.sock.fileno(): i for i, c in enumerate(clients)}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    flying = {}
    while waiting or flying:
        while waiting and len(flying) < window:
            i = waiting.pop()
            data = make(clients[i])
            flying[i] = [data, time.monotonic(), 1]
            clients[i].sock.send(data)
        for fd, _ in poll.poll(0.05):
            i = by_fd[fd]
            try:
                answer = clients[i].sock.recv(2048)
            except OSError:
                continue
            if i in flying and answer[8:20] == flying[i][0][8:20]:
                results[i] = answer
                del flying[i]
        now = time.monotonic()
        for i, f in list(flying.items()):
            if now - f[1] < 1:
                continue
            if f[2] == tries:
                results[i] = None
                del flying[i]
                continue
            f[1], f[2] = now, f[2] + 1
            clients[i].sock.send(f[0])
    poll.close()
    return results


def tally(results):
    codes = {}
    for answer in results.values():
        k = "silent" if answer is None else code(answer)
        codes[k] = codes.get(k, 0) + 1
    return codes


def many(argv):
    server, count, peer = (argv[0], int(argv[1])), int(argv[5]), argv[6]
    clients = [Client(server, argv[2], argv[3], argv[4]) for _ in range(count)]
    transport = attr(0x19, b"\x11\0\0\0")

    def bind(c):
        return c.request(BIND, [attr(0xC, b"\x40\0\0\0"), lambda tid: attr(0x12, xor_address(peer, 9, tid))])

    for i, answer in ask_all(clients, lambda c: c.request(ALLOCATE, [transport])).items():
        clients[i].nonce = parse(answer)[2].get(0x15) if answer else None
    begun = time.monotonic()
    print("allocate", tally(ask_all(clients, lambda c: c.request(ALLOCATE, [transport]))), flush=True)
    print("bind", tally(ask_all(clients, bind)), "seconds %.2f" % (time.monotonic() - begun), flush=True)
    for line in sys.stdin:
        line = line.strip()
        if line == "refresh":
            result = ask_all(clients, lambda c: c.request(REFRESH, [attr(0xD, struct.pack(">I", 600))]))
        elif line == "rebind":
            result = ask_all(clients, bind)
        else:
            result = ask_all(clients, lambda c: c.request(REFRESH, [attr(0xD, b"\0\0\0\0")]))
        print(line, tally(result), flush=True)


def strangers(argv):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((argv[0], int(argv[1])))
    sock.settimeout(0.5)
    first = message(ALLOCATE, [attr(0x19, b"\x11\0\0\0")])
    for i in range(int(argv[2])):
        sock.send(first)
        if i % 50 == 49:
            time.sleep(0.01)
    answers = []
    try:
        while True:
            answers.append(len(sock.recv(2048)))
    except OSError:
        pass
    print("answers %d largest %d request %d" % (len(answers), max(answers or [0]), len(first)))


if __name__ == "__main__":
    {"many": many, "strangers": strangers}[sys.argv[1]](sys.argv[2:])
