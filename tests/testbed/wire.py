#!/usr/bin/env python3
"""wire.py A B MS [LOSS%] [JITTER_MS]: carries Ethernet frames between interfaces A and B, MS milliseconds late.

Both ways, order kept; JITTER_MS more at most; LOSS% of the frames are lost. For kernels without `tc netem` (netns.sh).
Runs until killed. About 10,000 frames a second: for latency and loss, not for bandwidth.
"""

import heapq
import random
import select
import socket
import sys
import time

ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1


def open_interface(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    s.bind((name, 0))
    s.setblocking(False)
    # Frames for the far side carry its address, not ours: ask for all of them.
    request = socket.if_nametoindex(name).to_bytes(4, "little") + PACKET_MR_PROMISC.to_bytes(2, "little") + b"\0" * 10
    s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
    return s


def main():
    delay = float(sys.argv[3]) / 1000
    loss, jitter = (float(x) for x in (sys.argv[4:] + ["0", "0"])[:2])
    sockets = [open_interface(name) for name in sys.argv[1:3]]
    queue, serial, last = [], 0, [0.0, 0.0]
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for s in select.select(sockets, [], [], wait)[0]:
            side = sockets.index(s)
            for _ in range(64):
                try:
                    frame, address = s.recvfrom(65536)
                except BlockingIOError:
                    break
                except OSError:  # the interface went down: it may come back
                    time.sleep(0.01)
                    break
                if address[2] == PACKET_OUTGOING or random.random() * 100 < loss:
                    continue
                due = max(time.monotonic() + delay + random.random() * jitter / 1000, last[side])
                last[side] = due
                serial += 1
                heapq.heappush(queue, (due, serial, 1 - side, frame))
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, _, out, frame = heapq.heappop(queue)
            try:
                sockets[out].send(frame)
            except OSError as error:
                print("frame of %d bytes not sent: %s" % (len(frame), error), file=sys.stderr, flush=True)


main()
