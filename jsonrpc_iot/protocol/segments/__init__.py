"""Messages larger than a packet, cut into segments and put together again."""
