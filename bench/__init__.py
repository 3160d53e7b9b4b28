"""What runs cost: connections, exchanges, seconds."""
