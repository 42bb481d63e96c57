"""Who is at the other end, and what they may do: principals, and the keys that prove them."""
