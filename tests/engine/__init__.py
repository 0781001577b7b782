"""The whole engine in one process, with a movable clock."""
