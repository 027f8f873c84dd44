"""How fast the feed is, beside the fastest that the same broker and database could do."""
