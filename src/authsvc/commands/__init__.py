"""The larger commands: what they take, and what they say. What they do lies in operations and in flows."""
