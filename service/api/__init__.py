"""Clients of other people's APIs: requests, logins, rate limits, repeated attempts."""
