"""DNS records of servers and guests, published from the server stacks' outputs.

- records.py: which records belong in which zone, and with which TTL (pure);
- zone_text.py: a zone in master file format (pure);
- ownership.py: what a DNS update must find and what it changes, so that only names of ours are touched (pure);
- primary.py: the one place that talks to a primary server, by DNS updates (RFC 2136) signed with TSIG (RFC 8945);
- zone_records.py: a zone's records at such a server, as a resource;
- zone_files.py: zones' records as files on a server.
"""
