from __future__ import annotations

import select

from django.db.backends.postgresql import base
from psycopg.pq import ConnStatus


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Whether a kept connection is still open.

        A server that ends one says so: then there is something to read. Where there is nothing, it is
        open, and needs no statement to prove it, which would be a round trip in each request. (A server
        that is gone without a word answers that statement as little as the one it was asked for.)
        """
        if self.connection is None:
            return False
        kept = self.connection.pgconn
        if kept.status != ConnStatus.OK:
            return False
        poller = select.poll()
        poller.register(kept.socket, select.POLLIN)
        # It may be a notice, too: asked, it is answered after that.
        return not poller.poll(0) or super().is_usable()
