"""Drivers of the guest OS: they ask devices of the host, whoever those are (`techniques.seam`)."""
