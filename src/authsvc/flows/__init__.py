"""What the service does for somebody: one flow a file, no HTTP and no SQL text in it."""
