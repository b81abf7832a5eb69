"""Models from blocks: a palette, documents, live shapes, and two ways between blocks and Python."""
