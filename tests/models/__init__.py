"""Models that share no code with what they are compared with: slow, obvious, or by others."""
