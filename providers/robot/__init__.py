"""Hetzner's Robot web service (https://robot.hetzner.com/doc/webservice/en.html): the one place that talks to it.

- answers.py: what an answer means (pure);
- limits.py: how long is waited before a request is tried again, and when that is given up (pure);
- client.py: the HTTP requests of a process: one login, one line, one budget of waiting for all of them;
- ptr_records.py: `/rdns`, with one list for all reads of a run.
"""
