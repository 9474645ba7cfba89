#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Allocates over as many UDP sockets as told, with long-term credentials, binds a channel to the peer on each, and runs
# a program with the sockets and numbers behind its arguments: turn_load, for one server as for the other.
#   usage: turn_bind.py SERVER PORT USER PASSWORD PEER PEER-PORT FLOWS PROGRAM [ARGUMENT]...

import hashlib
import hmac
import os
import socket
import struct
import sys

COOKIE = 0x2112A442
ALLOCATE, PERMISSION, CHANNEL = 0x0003, 0x0008, 0x0009
USERNAME, INTEGRITY, ERROR, NUMBER, XOR_PEER, REALM, NONCE, TRANSPORT = 6, 8, 9, 0xC, 0x12, 0x14, 0x15, 0x19


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def attributes(message):
    found, at = {}, 20
    while at + 4 <= len(message):
        kind, length = struct.unpack_from(">HH", message, at)
        found.setdefault(kind, message[at + 4:at + 4 + length])
        at += 4 + (length + 3) // 4 * 4
    return found


class Client:
    def __init__(self, server, user, password):
        self.user, self.password, self.realm, self.nonce = user, password, None, None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(1)
        self.socket.connect(server)

    def once(self, method, body):
        transaction = os.urandom(12)
        if self.nonce:
            body += attribute(USERNAME, self.user) + attribute(REALM, self.realm) + attribute(NONCE, self.nonce)
            head = struct.pack(">HHI", method, len(body) + 24, COOKIE) + transaction
            key = hashlib.md5(b":".join((self.user, self.realm, self.password))).digest()
            body += attribute(INTEGRITY, hmac.new(key, head + body, hashlib.sha1).digest())
        message = struct.pack(">HHI", method, len(body), COOKIE) + transaction + body
        for _ in range(5):
            self.socket.send(message)
            try:
                answer = self.socket.recv(2000)
            except TimeoutError:
                continue
            if answer[8:20] == transaction:
                return struct.unpack_from(">H", answer)[0], attributes(answer)
        raise SystemExit("turn_bind: no answer")

    def request(self, method, body):
        for _ in range(3):
            kind, found = self.once(method, body)
            if kind == method | 0x0100:
                return found
            code = found.get(ERROR, b"\0\0\0\0")
            if (code[2], code[3]) not in ((4, 1), (4, 38)):
                raise SystemExit(f"turn_bind: method {method} is refused: {code[2]}{code[3]:02d} {code[4:]}")
            self.realm, self.nonce = found[REALM], found[NONCE]
        raise SystemExit("turn_bind: not authorized")


def main():
    if len(sys.argv) < 9:
        raise SystemExit("usage: turn_bind.py SERVER PORT USER PASSWORD PEER PEER-PORT FLOWS PROGRAM [ARGUMENT]...")
    server, port, user, password, peer, peer_port, flows = sys.argv[1:8]
    address = bytes(a ^ b for a, b in zip(socket.inet_aton(peer), struct.pack(">I", COOKIE)))
    xor_peer = attribute(XOR_PEER, struct.pack(">BBH", 0, 1, int(peer_port) ^ COOKIE >> 16) + address)
    behind = []
    clients = []
    for i in range(int(flows)):
        client = Client((server, int(port)), user.encode(), password.encode())
        client.request(ALLOCATE, attribute(TRANSPORT, b"\x11\0\0\0"))
        number = 0x4000 + i % 0x1000
        client.request(CHANNEL, attribute(NUMBER, struct.pack(">HH", number, 0)) + xor_peer)
        client.socket.setblocking(True)
        os.set_inheritable(client.socket.fileno(), True)
        clients.append(client)
        behind += [str(client.socket.fileno()), str(number)]
    os.execv(sys.argv[8], sys.argv[8:] + behind)


main()
