"""Views of published runs for people: progress, explanations and times."""
