"""The faults, a module for each part that they befall."""
