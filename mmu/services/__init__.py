"""What shares the host's memory between VMs: one file a service, with its settings, plugged in
where simulated time ticks. No service knows another, or the techniques."""
