"""The runtime over faust-streaming 0.15.3: nothing undelivered is ever committed, nothing is skipped.

Faust keeps what it does well: the group and its assignment, opening and closing stores, seeks, the end of a recovery,
the commit timer. Replaced is the path of each record: fetched in batches, checked for order, given to one synchronous
handler, stored in one write, published without a task per record, committed only when the broker has confirmed all.

Reading order: wiring (the deciders on an app), app (one chunk from fetch to publish), consumer (fetch, seek, revoke,
commit), producer (publish, flush), takeover (the begin of an epoch), tail (what others put behind it), watchdog (when
to end the process).
"""
