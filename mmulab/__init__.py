"""mmulab: guest, shadow and nested page tables side by side over one memory trace."""

__version__ = "0.1.0"
