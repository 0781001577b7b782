"""Records of an API: from the bytes of a page to typed rows."""
