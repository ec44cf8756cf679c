"""Results as text for a terminal: tables and bars of characters."""
