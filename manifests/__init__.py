"""Manifests: one YAML file per adapter and per entity, a strict loader, and checks over all of them."""
