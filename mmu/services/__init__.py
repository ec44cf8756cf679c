"""What shares the host's memory between VMs: one file a service, plugged in where the host
runs short and where simulated time ticks. No service knows another, or the techniques."""
