"""A Planning Center API to run on a laptop: for the demo, the tests and the benchmarks.

It describes the API in its own words (see products) and never looks at the manifests, so that an error in a manifest
shows as a difference.
"""
