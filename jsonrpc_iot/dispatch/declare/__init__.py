"""What a program declares: services, events, options, signatures."""
