"""Pages and schemas that are written from the code, so that they cannot lie. Text only: no IO but `__main__`'s."""
