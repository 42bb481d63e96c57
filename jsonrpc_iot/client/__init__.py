"""The client: calls, batches and notifications of one device, and typed proxies."""
