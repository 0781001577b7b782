"""The independent checker: it reads topics, database, simulator and stores after a run, and says what is not as it must
be.

It shares no code with what it checks. What it knows of formats it knows from the documents, and writes down again.
"""
