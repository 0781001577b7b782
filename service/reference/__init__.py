"""Reference pages and schemas, generated from the code. Text only: `__main__` alone does IO."""
