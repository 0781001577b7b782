"""Simulator of the Planning Center API, for the demo, the tests and the benchmarks.

It has a description of the API of its own (see products) and does not use the manifests, so that an error in a manifest
shows as a difference.
"""
