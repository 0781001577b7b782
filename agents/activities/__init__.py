"""Activities: do IO, own no state. Leases are read page by page, pages share commits, actions report a result."""
