"""The one place that talks to a host: a session (SSH), an agent that runs there, desired and observed state, a transaction."""
