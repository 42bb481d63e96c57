"""Links that carry packets: UDP, memory, and messages in segments over any."""
