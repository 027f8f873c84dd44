"""The live streams: what the market does, sent to WebSocket clients.

Invariants:

* One hub per event loop. It alone listens to the news of the market, and it writes each frame, encoded
  once per (stock, stream, depth), straight to the sockets: no channel-layer group, no queue per socket.
* News is a hint, the database is the truth. A batch may come late, out of order, twice or not at all: the
  hub knows from `previous_trade_sequence` what it has not seen, and once a second from the stock rows.
* Every socket of a stock's trades gets every trade once, in the order of their sequences. A reader that is
  too slow for that is closed with 4008 and resumes; books are conflated and never queued.
* What a client was sent is never sent again unless it asks for a rewind; what it says it knows already is
  not sent at all, not even by a hub that knows less.
* Changes of a book are the difference of two whole books, each as it was at its sequence: no news can spoil them.
* Nothing that a client does is unbounded: connections, stocks, length and rate of messages, what it leaves unread.
* All of the hub lives in its event loop. Only `hand_over` may be called from another thread. Queries run
  in the hub's own few threads, so that a slow database never stops a heartbeat or a pong.

`frames` encodes, `sockets` writes, `tape` puts trades in order, `trades`, `books`, `prices` and `private`
are the streams, `catchup` answers a resume, `hub` ties them together, `broadcaster` brings the news of this
process and of others, `access` says who may listen, `admission` how many and how long, `consumers` speak
the protocol.
"""
