#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Two clients of a TURN server by aioice, each with a transport of its own, that send to each other's relayed
# address and count what comes.
#   turn_aioice.py SERVER PORT USER PASSWORD TRANSPORT TRANSPORT [COUNT]    transports: udp, tcp, tls
import asyncio
import ssl
import sys

from aioice import turn


class Peer(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = set()
        self.sources = set()

    def datagram_received(self, data, addr):
        self.got.add(bytes(data))
        self.sources.add(addr)


async def endpoint(server, user, password, transport):
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return await turn.create_turn_endpoint(
        Peer, server_addr=server, username=user, password=password,
        transport="udp" if transport == "udp" else "tcp", ssl=tls if transport == "tls" else False)


async def main(argv):
    server, user, password = (argv[0], int(argv[1])), argv[2], argv[3]
    count = int(argv[6]) if len(argv) > 6 else 50
    ends = [await endpoint(server, user, password, t) for t in argv[4:6]]
    relayed = [t.get_extra_info("sockname") for t, _ in ends]
    # The first packet of each side opens its permission; it may be lost at the other.
    for side in (0, 1):
        ends[side][0].sendto(b"open", relayed[1 - side])
    await asyncio.sleep(0.5)
    want = []
    for side in (0, 1):
        want.append({b"%d %d " % (side, i) + b"x" * (i * 20 % 1200) for i in range(count)})
        for data in sorted(want[side]):
            ends[side][0].sendto(data, relayed[1 - side])
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.5)
    missing = 0
    for side in (0, 1):
        got = ends[side][1]
        missing += len(want[1 - side] - got.got)
        assert got.sources <= {relayed[1 - side]}, got.sources
    for transport, _ in ends:
        transport.close()
    await asyncio.sleep(0.3)
    print("sent %d, missing %d" % (2 * count, missing))
    return 1 if missing else 0


sys.exit(asyncio.run(main(sys.argv[1:])))
