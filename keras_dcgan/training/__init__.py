"""A training run: the loop, what it records, what protects it, and the devices it runs on."""
