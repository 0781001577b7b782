"""What tests stand on: fakes that pass the conformance suites, real brokers and databases, small builders."""
