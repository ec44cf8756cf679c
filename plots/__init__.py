"""Pictures of results. Importing this package does not import matplotlib."""
