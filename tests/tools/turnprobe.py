#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# One client of a TURN server that looks at what comes over the wire, for what no client asks.
#   turnprobe.py PROBE SERVER PORT USER PASSWORD REALM ARGUMENT...
#       icmp PEER        a closed port of PEER: the error is told, by UDP and TCP, with a channel as well
#       ports PEER GOOD DENIED       echo ports: nothing goes to DENIED or comes from it
#       race PEER PORT COUNT         ChannelData right behind the answer to its ChannelBind
#       sha256           SHA-256, USERHASH, and a nonce whose features somebody took away
#       elsewhere        another port with this port's nonce
#       expiry PEER PORT SCALE       permission 300 s, channel 600 s, lifetimes divided by SCALE
#       codes USER2 PASSWORD2        420, 440, 441 of another user, 486 of a user who may have one allocation
#       peers PEER[/PORT]=CODE...    what comes of a permission for it, or of a channel
# Exit status 0, or 1 and what was wrong.
import hashlib
import hmac
import os
import select
import socket
import ssl
import struct
import sys
import time

sys.dont_write_bytecode = True  # turnraw is beside this

from turnraw import ALLOCATE, BIND, COOKIE, PERMISSION, REFRESH, attr, code, message, parse, xor_address

SEND, DATA = 0x16, 0x17
TRANSPORT = attr(0x19, b"\x11\0\0\0")


def fail(what):
    print(what)
    sys.exit(1)


def any_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Probe:
    def __init__(self, server, user, password, realm, kind=socket.SOCK_DGRAM, tls=False):
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.sock = socket.socket(family, kind)
        self.stream, self.tls = kind == socket.SOCK_STREAM, tls
        self.sock.connect(server)
        if tls:
            self.sock = any_certificate().wrap_socket(self.sock)
        self.buf, self.stash, self.nonce, self.sha256 = b"", [], None, False
        self.user, self.realm, self.password = user.encode(), realm.encode(), password.encode()

    # One STUN message or ChannelData, None after that many seconds.
    def take(self, seconds):
        until = time.monotonic() + seconds
        while True:
            if self.stream and len(self.buf) >= 4:
                size = struct.unpack_from(">H", self.buf, 2)[0]
                size = 20 + size if self.buf[0] < 4 else 4 + size + (-size % 4)
                if len(self.buf) >= size:
                    out, self.buf = self.buf[:size], self.buf[size:]
                    return out
            pending = self.tls and self.sock.pending()
            if not pending and not select.select([self.sock], [], [], max(0, until - time.monotonic()))[0]:
                return None
            data = self.sock.recv(65536)
            if not self.stream:
                return data
            if not data:
                return None
            self.buf += data

    def wait(self, right, seconds=5):
        until = time.monotonic() + seconds
        for i, data in enumerate(self.stash):
            if right(data):
                return self.stash.pop(i)
        while time.monotonic() < until:
            data = self.take(until - time.monotonic())
            if data and right(data):
                return data
            if data:
                self.stash.append(data)
        return None

    def sign(self, method, attrs, tid):
        raw = b":".join([self.user, self.realm, self.password])
        if not self.sha256:
            attrs = attrs + [attr(6, self.user), attr(0x14, self.realm), attr(0x15, self.nonce)]
            return message(method, attrs, hashlib.md5(raw).digest(), tid)
        attrs = attrs + [attr(0x1E, hashlib.sha256(self.user + b":" + self.realm).digest()), attr(0x14, self.realm),
                         attr(0x15, self.nonce), attr(0x8002, self.offered), attr(0x1D, b"\0\2\0\0")]
        body = b"".join(attrs)
        head = struct.pack(">HHI", method, len(body) + 36, COOKIE) + tid
        mac = hmac.new(hashlib.sha256(raw).digest(), head + body, hashlib.sha256).digest()
        return head + body + attr(0x1C, mac)

    # Repeated as RFC 8489 has it; the answer.
    def ask(self, method, attrs):
        tid = os.urandom(12)
        attrs = [a(tid) if callable(a) else a for a in attrs]
        data = self.sign(method, attrs, tid) if self.nonce else message(method, attrs, tid=tid)
        for _ in range(6):
            self.sock.send(data)
            answer = self.wait(lambda d: d[0] in (0, 1) and len(d) >= 20 and d[8:20] == tid, 1)
            if answer:
                return answer
        fail("no answer to method %d" % method)

    def learn(self):
        found = parse(self.ask(ALLOCATE, [TRANSPORT]))[2]
        self.nonce, self.offered = found[0x15], found.get(0x8002)

    def want(self, expected, method, attrs, what):
        got = code(self.ask(method, attrs))
        if got != expected:
            fail("%s: %d, not %d" % (what, got, expected))

    def allocate(self, *more):
        self.learn()
        self.want(0, ALLOCATE, [TRANSPORT] + list(more), "Allocate")

    def permit(self, peer):
        self.want(0, PERMISSION, [peer_attr(peer, 0)], "CreatePermission")

    def bind(self, peer, port, number, expected=0, what="ChannelBind"):
        self.want(expected, BIND, [attr(0xC, struct.pack(">HH", number, 0)), peer_attr(peer, port)], what)

    def say(self, peer, port, data):
        tid = os.urandom(12)
        self.sock.send(message(SEND, [peer_attr(peer, port)(tid), attr(0x13, data)], tid=tid))

    def say_on(self, number, data):
        pad = bytes(-len(data) % 4) if self.stream else b""
        self.sock.send(struct.pack(">HH", number, len(data)) + data + pad)

    def hear(self, seconds=5):
        return self.wait(lambda d: d[0] == 0 and d[1] == DATA and 0x13 in parse(d)[2], seconds)

    def hear_on(self, number, data, seconds=5):
        want = struct.pack(">HH", number, len(data)) + data
        return self.wait(lambda d: d[:len(want)] == want, seconds)


def peer_attr(peer, port):
    return lambda tid: attr(0x12, xor_address(peer, port, tid))


# Says it until an echo comes: what is lost on the way to a busy machine is not looked at here.
def echo(say, hear):
    for _ in range(5):
        say()
        heard = hear(1)
        if heard:
            return heard
    return None


def families(peer):
    return [attr(0x17, b"\2\0\0\0")] if ":" in peer else []


def icmp(make, peer):
    want = b"\1\4" if ":" in peer else b"\3\3"
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        p = make(kind)
        p.allocate(*families(peer))
        p.permit(peer)
        for bound in (False, True):
            port = 7 + bound
            if bound:
                p.bind(peer, port, 0x4001)
            told = None
            for _ in range(10):
                if bound:
                    p.say_on(0x4001, b"anybody?")
                else:
                    p.say(peer, port, b"anybody?")
                told = p.wait(lambda d: d[0] == 0 and d[1] == DATA and 0x8004 in parse(d)[2], 1)
                if told:
                    break
            if not told:
                fail("nobody told of the closed port %d, kind %d" % (port, kind))
            found = parse(told)[2]
            if found[0x8004] != b"\0\0" + want + bytes(4) or 0x13 in found or \
                    found[0x12] != xor_address(peer, port, told[8:20]):
                fail("another error: %r" % found)


def ports(make, peer, good, denied):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        ports_of(make(kind), peer, good, denied)


def ports_of(p, peer, good, denied):
    p.allocate()
    p.say(peer, int(good), b"denied: no permission")
    p.permit(peer)
    p.say(peer, int(denied), b"denied")
    heard = echo(lambda: p.say(peer, int(good), b"good"), p.hear)
    if not heard or parse(heard)[2][0x13] != b"good":
        fail("nothing from the port that is allowed: %r" % heard)
    if p.wait(lambda d: b"denied" in d, 0.3):
        fail("something from the port that is denied")
    p.bind(peer, int(denied), 0x4001, 403)
    p.bind(peer, int(good), 0x4001)


def race(make, peer, port, count):
    for i in range(int(count)):
        p, data = make(), b"%08d" % i
        p.allocate()
        p.bind(peer, int(port), 0x4000 + i)
        p.say_on(0x4000 + i, data)
        if not p.hear_on(0x4000 + i, data):
            fail("the first datagram of allocation %d did not come back" % i)
        p.want(0, REFRESH, [attr(0xD, bytes(4))], "Refresh")


def sha256(make):
    p = make()
    p.learn()
    if p.nonce[:13] != b"obMatJos2gAAA" and p.nonce[:13] != b"obMatJos2wAAA":
        fail("features %r" % p.nonce[:13])
    if p.offered != b"\0\2\0\0\0\1\0\0":
        fail("algorithms %r" % p.offered)
    if p.nonce[9:10] == b"g":
        fail("no USERHASH where all users are known")
    p.sha256 = True
    right, p.offered = p.offered, b"\0\1\0\0"
    p.want(400, ALLOCATE, [TRANSPORT], "a list that somebody cut")
    p.offered, nonce = right, p.nonce
    p.sha256, p.nonce = False, nonce[:9] + b"AAAA" + nonce[13:]
    p.want(438, ALLOCATE, [TRANSPORT], "features that somebody cut")
    p.sha256, p.nonce = True, nonce
    answer = p.ask(ALLOCATE, [TRANSPORT])
    found = parse(answer)[2]
    if code(answer) or 0x1C not in found or 8 in found:
        fail("Allocate with SHA-256: %d" % code(answer))
    key = hashlib.sha256(b":".join([p.user, p.realm, p.password])).digest()
    if hmac.new(key, answer[:-36], hashlib.sha256).digest() != found[0x1C]:
        fail("its answer does not verify")
    p.want(0, REFRESH, [attr(0xD, bytes(4))], "Refresh")


def elsewhere(make):
    p, q = make(), make()
    p.learn()
    q.nonce = p.nonce
    q.want(438, ALLOCATE, [TRANSPORT], "the nonce of another port")
    p.want(0, ALLOCATE, [TRANSPORT], "Allocate")
    q.learn()
    q.want(437, REFRESH, [], "Refresh of nothing")


def expiry(make, peer, port, scale):
    p, second = make(), 1 / float(scale)
    p.allocate(attr(0xD, struct.pack(">I", 3600)))
    p.bind(peer, int(port), 0x4001)
    begun = time.monotonic()
    if not echo(lambda: p.say_on(0x4001, b"one"), lambda s: p.hear_on(0x4001, b"one", s)):
        fail("nothing came back on a fresh channel")
    time.sleep(max(0, begun + 330 * second - time.monotonic()))
    p.say_on(0x4001, b"two")
    if p.wait(lambda d: b"two" in d, 0.5):
        fail("heard of a peer whose permission is over")
    p.permit(peer)
    if not echo(lambda: p.say_on(0x4001, b"three"), lambda s: p.hear_on(0x4001, b"three", s)):
        fail("nothing came back under a new permission")
    if p.wait(lambda d: b"two" in d, 0.1):
        fail("heard of what came without a permission")
    time.sleep(max(0, begun + 610 * second - time.monotonic()))
    p.permit(peer)
    p.say_on(0x4001, b"four")
    heard = echo(lambda: p.say(peer, int(port), b"five"), p.hear)
    if not heard or parse(heard)[2][0x13] != b"five":
        fail("no Data indication when the channel is over: %r" % heard)


def codes(make, other, password):
    p, q = make(), make()
    p.learn()
    answer = p.ask(ALLOCATE, [TRANSPORT, attr(0x7FF0, b"what"), attr(0x8FF0, b"else")])
    if code(answer) != 420 or parse(answer)[2].get(0xA) != b"\x7f\xf0":
        fail("an attribute that must be understood: %d, %r" % (code(answer), parse(answer)[2]))
    p.want(440, ALLOCATE, [TRANSPORT, attr(0x17, b"\5\0\0\0")], "a family that is none")
    p.want(0, ALLOCATE, [TRANSPORT], "Allocate")
    own, p.user, p.password = (p.user, p.password), other.encode(), password.encode()
    p.want(441, REFRESH, [], "Refresh by another user")
    p.want(441, REFRESH, [attr(0xD, bytes(4))], "an end by another user")
    p.user, p.password = own
    q.learn()
    q.want(486, ALLOCATE, [TRANSPORT], "one more than the user may have")
    p.want(0, REFRESH, [attr(0xD, bytes(4))], "Refresh")
    q.want(0, ALLOCATE, [TRANSPORT], "another when the first is gone")
    q.want(0, REFRESH, [attr(0xD, bytes(4))], "Refresh")


def peers(make, *wishes):
    clients = {}
    for n, wish in enumerate(wishes):
        peer, wanted = wish.split("=")
        peer, _, port = peer.partition("/")
        if (":" in peer) not in clients:
            clients[":" in peer] = make()
            clients[":" in peer].allocate(*families(peer))
        p = clients[":" in peer]
        if port:
            p.bind(peer, int(port), 0x4000 + n, int(wanted), wish)
        else:
            p.want(int(wanted), PERMISSION, [peer_attr(peer, 0)], wish)
    for p in clients.values():
        p.want(0, REFRESH, [attr(0xD, bytes(4))], "Refresh")


def main(argv):
    server = (argv[1], int(argv[2]))

    def make(kind=socket.SOCK_DGRAM):
        return Probe(server, argv[3], argv[4], argv[5], kind)

    {"icmp": icmp, "ports": ports, "race": race, "sha256": sha256, "elsewhere": elsewhere,
     "expiry": expiry, "codes": codes, "peers": peers}[argv[0]](make, *argv[6:])


if __name__ == "__main__":
    main(sys.argv[1:])
