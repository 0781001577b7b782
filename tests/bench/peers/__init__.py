"""Other engines for durable execution beside Sluice, in one run: a workflow per organisation, a durable step a page.

They install into a place of their own (`installed.HOW`) and run as their own documentation says, with their defaults.
Their step is the floor's, code and all.
"""
