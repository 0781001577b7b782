"""What must hold, one function each: from the evidence to what was found. Pure."""
