"""Completeness of full syncs whose source moves while it is read: what existed throughout must be in the copy.

The real stack on the simulator, many organisations side by side. The simulator says when each record came and went, the
database when each run began and ended, and what it proves of itself is compared with that.
"""
