"""Results and walks as pages and documents that can be handed on."""
