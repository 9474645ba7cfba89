#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# Says where the missing numbers of a stream were lost. Every device of every box on the way has counted this stream's
# own packets, in and out (smoke/judge.sh), so what is missing is known per box and per wire, whatever else was dropped
# there. Totals of drops then only give the reason:
#
#   a gateway             never an excuse: named by drop reasons and port counters
#   a wire, a bridge      the kernel's: nothing but its queues is between two counts
#   the sender's box      what the socket refused, or its kernel
#   the receiver's box    as many as its socket says it overflowed by
#   any other box         as many as its tunnel's sockets and TUN devices dropped
#
#   usage: lossjudge.py PREFIX     reads PREFIX.{path,passed,before,after,send,recv}; exit status 0: not ours, all accounted
import json
import sys


def table(path, columns):
    with open(path) as f:
        return [line.rstrip("\n").split("\t") for line in f if line.count("\t") == columns - 1]


def last_json(path):
    with open(path) as f:
        return json.loads([line for line in f if line.startswith("{")][-1])


class Stream:
    def __init__(self, prefix):
        self.boxes, self.wires = {}, []
        for kind, *rest in (line.split() for line in open(prefix + ".path")):
            if kind == "wire":
                self.wires.append(rest)
            else:
                self.boxes[rest[0]] = kind
        self.passed = {(b, d, way): int(n) for b, d, way, n in table(prefix + ".passed", 4)}
        before = {(b, what): int(n) for b, what, n in table(prefix + ".before", 3)}
        self.grew = {}
        for b, what, n in table(prefix + ".after", 3):
            # A counter that fell began anew (a restarted daemon): it counts whole.
            was = before.get((b, what), 0)
            delta = int(n) - was if int(n) >= was else int(n)
            if delta:
                self.grew.setdefault(b, {})[what] = delta
        self.send, self.recv = last_json(prefix + ".send"), last_json(prefix + ".recv")

    def count(self, box, dev, way):
        return self.passed.get((box, dev, way), 0)

    # A gateway's driver may take packets in front of the kernel's count (XDP): then the other end's count is the one.
    def directions(self):
        for a, ad, b, bd in self.wires:
            for f, fd, t, td in ((a, ad, b, bd), (b, bd, a, ad)):
                left, came = self.count(f, fd, "out"), self.count(t, td, "in")
                if self.boxes.get(f) == "gateway" and left == 0:
                    left = came
                if self.boxes.get(t) == "gateway" and came == 0:
                    came = left
                yield f, fd, left, t, td, came

    # [(kind, name, lost)]; the sum is what is missing, because each count is subtracted from its neighbour's.
    def losses(self):
        came_in = {b: 0 for b in self.boxes}
        went_out = dict(came_in)
        result = []
        for f, fd, left, t, td, came in self.directions():
            went_out[f] += left
            came_in[t] += came
            result.append(("wire", f"{f}:{fd} -> {t}:{td}", left - came))
        lump = [0, []]
        for b, kind in self.boxes.items():
            if kind == "from":
                came_in[b] += self.send["numbers"]
            elif kind == "to":
                went_out[b] += self.recv["received"]
            lost = came_in[b] - went_out[b]
            if kind == "gateway":
                lump[0] += lost
                lump[1] += [b] if lost else []
            else:
                result.append((kind, b, lost))
        if lump[1]:
            # Gateways may be joined by shared memory, where nobody counts: one stands for all then.
            result.append(("gateway", "+".join(lump[1]), lump[0]))
        return [r for r in result if r[2]]

    def reasons(self, boxes, words=()):
        grew = {}
        for b in boxes:
            for what, n in self.grew.get(b, {}).items():
                if not words or any(w in what for w in words):
                    grew[what] = grew.get(what, 0) + n
        return grew

    # (how many of them are somebody else's, text)
    def account(self, kind, name, lost):
        if kind == "from":
            unsent = self.send["numbers"] - self.send["sent"]
            return lost, f"the sender's socket refused {unsent}, its kernel lost {lost - unsent}"
        if kind == "to":
            over = self.recv["receiver_overflow"]
            return min(lost, over), f"the receiver's socket overflowed by {over}"
        if kind == "gateway":
            return 0, "OURS: " + text(self.reasons(name.split("+")))
        if kind in ("wire", "bridge"):
            box = name.split(":")[0]
            return lost, "the kernel's queues: " + text(self.reasons([box], ["dropped"]))
        known = self.reasons([name], ["UDP", "TUN"])
        return min(lost, sum(known.values())), text(known)


def text(grew):
    return ", ".join(f"{what} {n}" for what, n in sorted(grew.items())) or "no counter grew"


def main():
    s = Stream(sys.argv[1])
    missing = s.recv["missing"]
    print(f"{missing} of {s.recv['expected']} numbers are missing: {json.dumps(s.recv['missing_ranges'][:8])}")
    left, ours, odd = missing, 0, False
    for kind, name, lost in s.losses():
        if lost < 0:
            odd = True
            print(f"  {name}: {-lost} more left than came")
            continue
        accounted, why = s.account(kind, name, lost)
        print(f"  lost at {name}: {lost} ({why})" + ("" if kind == "gateway" or accounted == lost else
              f"; UNACCOUNTED: {lost - accounted}"))
        ours += lost if kind == "gateway" else 0
        left -= accounted
    if odd:
        print("  the counts contradict each other")
    print(f"  ours: {ours}, unaccounted: {max(left - ours, 0)}")
    return 0 if not odd and left <= 0 and ours == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
