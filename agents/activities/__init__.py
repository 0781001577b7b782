"""Activities: do IO, own no state. A lease is read page by page; pages share commits; a run is closed and added up."""
